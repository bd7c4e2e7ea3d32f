"""Completion of live names: never calls, never imports."""

import builtins
import os
import sys

from . import lexing
from .imports import standard

_MAX_MATCHES = 2_000
_MAX_SOURCE_BYTES = 1 << 20


def complete(text, cursor, namespace):
    """(matches, start, end): what may stand in place of text[start:end]."""
    before = text[: max(0, cursor)]
    cursor = len(before)
    at = lexing.place(before)
    if at.comment:
        return [], cursor, cursor
    if at.string is not None:
        matches, start = _in_string(at, before, text[cursor:], namespace)
    else:
        matches, start = _in_code(at, before, namespace)
    return matches[:_MAX_MATCHES], start, cursor


def kinds(matches, text, start, namespace):
    """What each match is, in the words that IPython has for it; `start` is where they begin. Calls nothing of a cell's."""
    at = lexing.place(text[:start])
    if at.string is not None:
        return ["dict key" if at.tokens and at.tokens[-1].text == "[" else "path"] * len(matches)
    owners = {}
    return [_kind(match, namespace, owners) for match in matches]


def _kind(match, namespace, owners):
    path, dot, name = match.rpartition(".")
    if not dot:
        if name.endswith("="):
            return "param"
        if name in namespace:
            return _kind_of(namespace[name])
        if name in builtins.__dict__:
            return _kind_of(builtins.__dict__[name])
        return "keyword" if name in standard("keyword").kwlist else "module"
    if path not in owners:
        try:
            owners[path] = [lexing.evaluate(path, namespace)]
        except Exception:
            owners[path] = []  # of an import: a module that is not loaded
    for owner in owners[path]:
        return _kind_of(standard("inspect").getattr_static(owner, name, None))
    return "module"


_FUNCTIONS = {
    type(_kind),
    type(len),
    type(object.__init__),
    type(str.join),
    type(dict.__dict__["fromkeys"]),
    type([].append),
    staticmethod,
    classmethod,
}


def _kind_of(value):
    kind = type(value)
    if issubclass(kind, type):
        return "class"
    if issubclass(kind, type(sys)):
        return "module"
    if kind is property:
        return "property"
    return "function" if kind in _FUNCTIONS else "instance"


def _in_code(at, before, namespace):
    tokens, partial, start = list(at.tokens), "", len(before)
    if tokens and tokens[-1].end == start:
        if tokens[-1].kind == "name":
            partial, start = tokens[-1].text, tokens.pop().start
        elif tokens[-1].kind in ("number", "string"):
            return [], start
    if tokens and tokens[0].text in ("import", "from") and not at.brackets[1:]:
        return _in_import(tokens, partial, start)
    if tokens and tokens[-1].text == ".":
        first = lexing.primary(tokens[:-1])
        if first is None:
            return [], start
        start = tokens[first].start
        try:
            value = lexing.evaluate(before[start : tokens[-1].start], namespace)
        except Exception:
            return [], start  # nobody knows what it is
        path = before[start : tokens[-1].end]
        return [path + name for name in _visible(attributes(value), partial)], start
    names = {*namespace, *builtins.__dict__, *standard("keyword").kwlist}
    return _arguments(at, tokens, before, partial, namespace) + _visible(names, partial), start


def _visible(names, partial):
    """Those that begin like it, in order; private ones only when asked for."""
    return sorted(
        name
        for name in set(names)
        if isinstance(name, str) and name.startswith(partial) and (partial or not name.startswith("_"))
    )


def attributes(value):
    try:
        return dir(value)
    except Exception:
        return dir(type(value))  # its __dir__ fails


def _arguments(at, tokens, before, partial, namespace):
    """Names of arguments of what is being called, as `name=`."""
    if not tokens or tokens[-1].text not in ("(", ","):
        return []
    called = lexing.callee(at, before)
    if called is None:
        return []
    try:
        parameters = standard("inspect").signature(lexing.evaluate(called, namespace)).parameters.values()
    except Exception:
        return []  # not known, not callable, or without a signature
    return [
        parameter.name + "="
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.name.startswith(partial)
    ]


# Strings


def _in_string(at, before, after, namespace):
    typed = before[at.string.start :]
    if "\\" in typed or "\n" in typed:
        return [], len(before)
    first = lexing.primary(at.tokens[:-1]) if at.tokens and at.tokens[-1].text == "[" else None
    if first is not None:
        keys = _keys(before[at.tokens[first].start : at.tokens[-1].start], namespace)
        quote = at.string.quote
        ending = "" if after.startswith(quote) else quote + ("" if after.startswith("]") else "]")
        plain = (key for key in keys if isinstance(key, str) and key.isprintable())
        fits = sorted(key for key in plain if key.startswith(typed) and not {"\\", quote[0]} & set(key))
        return [key + ending for key in fits], at.string.start
    return _paths(typed, at.string.quote, len(before))


def _keys(name, namespace):
    try:
        value = lexing.evaluate(name, namespace)
        own = getattr(type(value), "_ipython_key_completions_", None)
        if own is not None:
            return list(own(value))
        return list(value) if isinstance(value, dict) else []
    except Exception:
        return []  # nobody knows what it is


def _paths(typed, quote, cursor):
    folder, _, partial = typed.rpartition("/")
    if "/" in typed:
        folder = os.path.expanduser(folder + "/")
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name + ("/" if entry.is_dir() else "") for entry in entries]
    except (OSError, ValueError):
        names = []  # no such folder
    fits = [name for name in names if name.startswith(partial) and not {"\\", quote[0]} & set(name)]
    return sorted(name for name in fits if partial or not name.startswith(".")), cursor - len(partial)


# Imports


def _in_import(tokens, partial, start):
    words = [token.text for token in tokens]
    if words[0] == "from" and "import" in words:
        if words[-1] not in ("import", "(", ","):
            return [], start
        module = "".join(words[1 : words.index("import")])
        return _visible(_contents(module), partial), start
    # The dotted name that is being typed begins after the last word that is not part of it.
    first = len(tokens)
    while first > 1 and (
        words[first - 1] == "." or (first < len(tokens) and words[first] == "." and words[first - 1].isidentifier())
    ):
        first -= 1
    if first < len(tokens):
        start = tokens[first].start
    elif words[-1] not in ("import", "from", ","):
        return (["import"] if words[0] == "from" and "import".startswith(partial) else []), start
    parent = "".join(words[first:])
    if parent.startswith("."):
        return [], start  # relative: a notebook is in no package
    return [parent + name for name in _visible(_submodules(parent[:-1]) if parent else _modules(), partial)], start


def _modules():
    names = set(sys.builtin_module_names) | set(sys.modules)
    for folder in sys.path:
        names.update(_listing(folder or "."))
    return [name for name in names if "." not in name]


def _submodules(name):
    """Of a module: those in its folders, and those that are loaded."""
    names = {loaded[len(name) + 1 :] for loaded in list(sys.modules) if loaded.startswith(name + ".")}
    for folder in _folders(name) or ():
        names.update(_listing(folder))
    return [name for name in names if "." not in name]


_listings = {}


def _listing(folder):
    """The modules in a folder, remembered until it changes."""
    try:
        changed = os.stat(folder).st_mtime_ns
        if _listings.get(folder, (None,))[0] != changed:
            with os.scandir(folder) as entries:
                _listings[folder] = changed, [name for name in map(_module_name, entries) if name]
        return _listings[folder][1]
    except OSError:
        return []  # no folder


def _module_name(entry):
    for suffix in standard("importlib.machinery").all_suffixes():
        if entry.name.endswith(suffix):
            name = entry.name[: -len(suffix)]
            return name if name.isidentifier() and name != "__init__" else None
    is_package = entry.name.isidentifier() and os.path.exists(os.path.join(entry.path, "__init__.py"))
    return entry.name if is_package else None


def _folders(name):
    if name in sys.modules:
        return list(getattr(sys.modules[name], "__path__", ()))
    spec = _spec(name)
    return spec and spec.submodule_search_locations


def _spec(name):
    """Where a module would be found. importlib.util.find_spec() would import its parents."""
    parent = name.rpartition(".")[0]
    folders = _folders(parent) if parent else None
    if parent and not folders:
        return None
    return standard("importlib.machinery").PathFinder.find_spec(name, folders)


def _contents(name):
    """What can be imported from a module: as it is if it is loaded, else as its source says."""
    if name in sys.modules:
        return [*attributes(sys.modules[name]), *_submodules(name)]
    return [*_names_in_source(name), *_submodules(name)]


def _names_in_source(name):
    try:
        spec = _spec(name)
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            return []
        with open(spec.origin, "rb") as file:
            tree = standard("ast").parse(file.read(_MAX_SOURCE_BYTES))
    except (OSError, ValueError, SyntaxError):
        return []
    ast = standard("ast")
    names = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names += [(alias.asname or alias.name).partition(".")[0] for alias in node.names if alias.name != "*"]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)]
    return names
