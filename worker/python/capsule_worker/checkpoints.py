"""Checkpoints: the variables of the namespace as pickles that the kernel keeps (worker/PROTOCOL.md, section 7).

A pickle holds one variable, or several that cannot be told apart: those that refer to each other in a circle, and those
that share an object which is no variable itself. Where it refers to another variable it says no more than its name. So
what is one object stays one, and a variable that cannot be saved or restored takes along only those that refer to it.
"""

import marshal
import sys
from _pickle import PickleBuffer
from importlib.util import MAGIC_NUMBER
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType

from .imports import standard

# Larger ones would fill the kernel's heap before they are collected.
PART_BYTES = 256 << 10

MAX_VARIABLES = 10_000
_MAX_NAME_CHARS = 256
_MAX_TYPE_CHARS = 100
_MAX_REASON_CHARS = 300
_NAMED = 5
# Objects that are followed to see which variables share them; each takes 150 bytes while a checkpoint is made.
_MAX_FOLLOWED = 200_000

# In the place of the namespace itself; other persistent ids are names of variables.
_NAMESPACE = 0

# Of these there may be two where there was one.
_PLAIN = {type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes, range, slice}
_PLAIN |= {BuiltinFunctionType, type(str.join), type("".__len__), type(str.__len__), CodeType}
# Those that can change and have no `__dict__`.
_MUTABLE = {list, dict, set, bytearray, CellType}


class CheckpointError(Exception):
    """No checkpoint can be made."""


class NotSaved(Exception):
    """Why an object cannot be saved."""


# Saving


class _Variable:
    """One object, and the names that it has."""

    def __init__(self, name, value):
        self.names = [name]
        self.value = value
        self.refers_to = {}
        self.shares_with = {}
        self.reason = None
        self.group = self
        self.bytes = 0

    def links(self):
        return [*self.refers_to, *self.shares_with]


def save(namespace, variables, limit, send):
    """Sends the parts of all variables that can be saved: send(blob, data). Returns the fields of the resolve."""
    if len(variables) > MAX_VARIABLES:
        raise CheckpointError(
            f"{len(variables):,} variables are over the limit of {MAX_VARIABLES:,} of a checkpoint; put some into a dict, "
            "or delete them"
        )
    saver = _Saver(namespace, variables)
    saver.survey()
    saver.check_size(limit)
    blobs = saver.write(send)
    saved = [(name, variable) for name, variable in saver.by_name.items() if variable.reason is None]
    lost = [(name, variable) for name, variable in saver.by_name.items() if variable.reason is not None]
    packages = saver.packages()
    return {
        "names": [name for name, _ in saved],
        "types": [_type_name(variable.value) for _, variable in saved],
        "blobs": [blobs[variable] for _, variable in saved],
        "unsaved": [_shortened(name, _MAX_NAME_CHARS) for name, _ in lost],
        "unsaved_types": [_type_name(variable.value) for _, variable in lost],
        "reasons": [variable.reason for _, variable in lost],
        "packages": list(packages),
        "versions": list(packages.values()),
        "followed": saver.followed,
    }


class _Saver:
    def __init__(self, namespace, variables):
        self.namespace = namespace
        self.by_name = {}
        self.roots = {}
        # Whether all shared objects were found.
        self.followed = True
        # The types and modules that were met.
        self.met = set()
        self._surveying = True
        self._owners = {}
        self._kept = []
        for name, value in variables.items():
            variable = self.roots.get(id(value))
            if variable is None:
                variable = _Variable(name, value)
                if not self._is_plain(value):
                    self.roots[id(value)] = variable
            else:
                variable.names.append(name)
            if name != _shortened(name, _MAX_NAME_CHARS):
                variable.reason = f"its name is no text of at most {_MAX_NAME_CHARS} characters"
            self.by_name[name] = variable
        self._variables = list(dict.fromkeys(self.by_name.values()))

    def _is_plain(self, value):
        """Whether the object needs no name: another one of the same value does as well, or it is imported."""
        kind = type(value)
        if kind in _PLAIN or isinstance(value, ModuleType):
            return True
        if isinstance(value, type):
            return value.__module__ != "__main__"
        return kind is FunctionType and value.__globals__ is not self.namespace

    def survey(self):
        """Pickles each variable for nothing but to see whether it can be, how large it is, and what it refers to."""
        for variable in self._variables:
            if variable.reason is not None:
                continue
            sink = _Count()
            pickler = _pickler(sink, self, variable)
            variable.reason = _attempt(lambda: pickler.dump(_values([variable])))
            variable.bytes = sink.bytes
            visited, pickler = pickler.visited, None
            if variable.reason is None:
                self._follow(variable, visited)
        self._surveying = False
        self._owners.clear()
        self._kept.clear()
        self._spread_failures()

    def _follow(self, variable, visited):
        for key in list(visited):
            found = visited.pop(key)
            # What nobody else holds was made to be pickled. Its address will be another object's.
            if sys.getrefcount(found) <= 2:
                continue
            owner = self._owners.setdefault(key, variable)
            if owner is variable:
                self._kept.append(found)
            else:
                owner.shares_with[variable] = variable.shares_with[owner] = True

    def follows(self, visited):
        """Whether an object is to be followed, beside those that the present variable holds."""
        if not self._surveying:
            return False
        if len(self._kept) + len(visited) >= _MAX_FOLLOWED:
            self.followed = False
        return self.followed

    def _spread_failures(self):
        lost = [variable for variable in self._variables if variable.reason is not None]
        holders = {}
        for variable in self._variables:
            for other in variable.refers_to:
                holders.setdefault(other, []).append(variable)
        while lost:
            failed = lost.pop()
            for holder in holders.get(failed, ()):
                if holder.reason is None:
                    holder.reason = _holds(failed.names[0])
                    lost.append(holder)

    def check_size(self, limit):
        good = [variable for variable in self._variables if variable.reason is None]
        size = sum(variable.bytes for variable in good)
        if size > limit:
            largest = sorted(good, key=lambda variable: -variable.bytes)[:_NAMED]
            told = ", ".join(f"{variable.names[0]} {variable.bytes:,}" for variable in largest)
            raise CheckpointError(
                f"the variables take {size:,} bytes, over the limit of {limit:,} bytes of a checkpoint; delete some, or "
                f"write them to files. The largest: {told}"
            )

    def write(self, send):
        """Returns the number of each variable's pickle."""
        blobs = {}
        count = 0
        for members in _groups([variable for variable in self._variables if variable.reason is None]):
            lost = next((other for member in members for other in member.refers_to if other.reason is not None), None)
            if lost is not None:
                reason = _holds(lost.names[0])
            else:
                for member in members:
                    member.group = members[0]
                parts = _Parts(send, count)
                reason = _attempt(lambda: parts.close(_pickler(parts, self, members[0]).dump(_values(members))))
                count += parts.begun
            for member in members:
                member.reason = reason
                blobs[member] = count - 1
        return blobs

    def packages(self):
        """The versions of the packages that what is saved is made of."""
        names = {found.split(".")[0] for found in self.met if isinstance(found, str)}
        return versions(sorted(names - set(getattr(sys, "stdlib_module_names", ()))))


def _values(variables):
    return {name: variable.value for variable in variables for name in variable.names}


def _holds(name):
    return f"it refers to {_shortened(name, 64)}, which cannot be saved"


def _attempt(action):
    """Why it failed, None if it has not."""
    try:
        action()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return reason_of(error)
    return None


def reason_of(error):
    try:
        text = str(error)
    except Exception:
        # Its __str__ fails.
        text = "(its text cannot be had)"
    name = "" if isinstance(error, NotSaved) else type(error).__name__
    return _shortened(": ".join(filter(None, (name, " ".join(text.split())))), _MAX_REASON_CHARS)


def _shortened(text, most):
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= most else text[: most - 1] + "…"


def _type_name(value):
    name = f"module {value.__name__}" if type(value) is ModuleType else type(value).__name__
    return _shortened(str(name), _MAX_TYPE_CHARS)


def versions(packages):
    """By name; of those that are loaded and say one."""
    found = {}
    for name in packages:
        version = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(version, str):
            found[_shortened(name, _MAX_NAME_CHARS)] = _shortened(version, _MAX_TYPE_CHARS)
    return found


def _groups(variables):
    """Those that must be in one pickle, each group after all that it refers to (Tarjan's algorithm)."""
    numbers, lows, groups = {}, {}, []
    # In the order of their numbers: those whose group is not complete.
    path = {}
    for start in variables:
        todo = [] if start in numbers else [(start, iter(start.links()))]
        while todo:
            variable, links = todo[-1]
            if variable not in numbers:
                numbers[variable] = lows[variable] = len(numbers)
                path[variable] = True
            for other in links:
                if other.reason is None and other not in numbers:
                    todo.append((other, iter(other.links())))
                    break
                if other in path:
                    lows[variable] = min(lows[variable], lows[other])
            else:
                todo.pop()
                if todo:
                    above = todo[-1][0]
                    lows[above] = min(lows[above], lows[variable])
                if lows[variable] == numbers[variable]:
                    group = []
                    while variable in path:
                        group.append(path.popitem()[0])
                    groups.append(group)
    return groups


class _Count:
    bytes = 0

    def write(self, data):
        self.bytes += _bytes_of(data).nbytes


def _bytes_of(data):
    """Of what a pickler writes: bytes, or the buffer of an array, whatever its shape."""
    return data.raw() if type(data) is PickleBuffer else memoryview(data).cast("B")


class _Parts:
    """What is pickled, on its way to the kernel."""

    def __init__(self, send, blob):
        self.begun = False
        self.blob = blob
        self._send = send
        self._data = bytearray()

    def write(self, data):
        view = _bytes_of(data)
        at = 0
        while at < len(view):
            taken = min(len(view) - at, PART_BYTES - len(self._data))
            self._data += view[at : at + taken]
            at += taken
            if len(self._data) == PART_BYTES:
                self._flush()

    def _flush(self):
        data, self._data = self._data, bytearray()
        self.begun = True
        self._send(self.blob, data)

    def close(self, _):
        if self._data:
            self._flush()


def _pickler(sink, saver, variable):
    return _pickler_type()(sink, saver, variable)


_types = []


def _pickler_type():
    if not _types:
        _types.append(_make_pickler_type())
    return _types[0]


def _make_pickler_type():
    pickle = standard("pickle")
    try:
        base = standard("cloudpickle").CloudPickler
    except Exception:
        # It is not installed, or does not work.
        base = pickle.Pickler
    by_value = base is not pickle.Pickler
    plain = _PLAIN
    enumerated = sys.modules["enum"].EnumMeta if "enum" in sys.modules else ()

    class Pickler(base):
        def __init__(self, sink, saver, variable):
            super().__init__(sink, protocol=5)
            self.visited = {}
            self._saver = saver
            self._variable = variable
            self._bare = {}

        def persistent_id(self, obj):
            kind = type(obj)
            if kind in plain:
                return None
            saver = self._saver
            if obj is saver.namespace:
                return _NAMESPACE
            key = id(obj)
            variable = saver.roots.get(key)
            if variable is not None:
                if variable.group is self._variable.group:
                    return None
                self._variable.refers_to[variable] = True
                return variable.names[0]
            if kind in _MUTABLE or kind.__dictoffset__ or kind.__name__ == "ndarray":
                saver.met.add(_module_of(kind))
                if key not in self.visited and saver.follows(self.visited) and _is_followed(obj, kind, saver, enumerated):
                    self.visited[key] = obj
            return None

        def reducer_override(self, obj):
            kind = type(obj)
            if kind is FunctionType and obj.__globals__ is self._saver.namespace:
                return self._reduce_function(obj)
            if kind is CellType:
                return self._reduce_cell(obj)
            if kind is ModuleType:
                return self._reduce_module(obj)
            if isinstance(obj, type):
                self._saver.met.add(_module_of(obj))
                if not by_value and obj.__module__ == "__main__":
                    raise NotSaved(f"{obj.__name__} is a class of the notebook, which needs the package cloudpickle")
            return super().reducer_override(obj) if by_value else NotImplemented

        def _reduce_function(self, function):
            """With the namespace itself as its globals, and the very cells that others share."""
            closure = function.__closure__ or ()
            self._bare.update((id(cell), cell) for cell in closure)
            state = {name: getattr(function, name, None) for name in _FUNCTION_STATE}
            contents = [(cell, _contents(cell)) for cell in closure if _contents(cell) is not None]
            code = marshal.dumps(function.__code__)
            made = (MAGIC_NUMBER, code, self._saver.namespace, function.__name__, closure)
            return _make_function, made, (state, contents), None, None, _complete_function

        def _reduce_cell(self, cell):
            contents = _contents(cell)
            # A function is not there before its cells, which may hold it: it fills them itself.
            if contents is None or id(cell) in self._bare:
                return _make_cell, ()
            return _make_cell, (), contents, None, None, _fill_cell

        def _reduce_module(self, module):
            if sys.modules.get(module.__name__) is not module:
                raise NotSaved(f"the module {module.__name__} cannot be imported by its name")
            self._saver.met.add(module.__name__)
            return standard("importlib").import_module, (module.__name__,)

    return Pickler


def _module_of(kind):
    name = getattr(kind, "__module__", None)
    return name if isinstance(name, str) else ""


def _is_followed(obj, kind, saver, enumerated):
    if isinstance(obj, (type, ModuleType)) or enumerated and isinstance(kind, enumerated):
        return False
    return kind is not FunctionType or obj.__globals__ is saver.namespace


# What pickles call when they are loaded

_FUNCTION_STATE = (
    "__qualname__",
    "__module__",
    "__doc__",
    "__defaults__",
    "__kwdefaults__",
    "__annotations__",
    "__dict__",
    "__type_params__",
)


def _contents(cell):
    """In a tuple; None if there are none."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return None


def _make_cell():
    return CellType()


def _fill_cell(cell, contents):
    cell.cell_contents = contents[0]


def _make_function(magic, code, namespace, name, closure):
    if magic != MAGIC_NUMBER:
        # The code of another version could end the process.
        raise ImportError("it was compiled by another version of Python")
    return FunctionType(marshal.loads(code), namespace, name, None, closure or None)


def _complete_function(function, state):
    attributes, contents = state
    for name, value in attributes.items():
        if value is not None:
            setattr(function, name, value)
    for cell, held in contents:
        _fill_cell(cell, held)


# Restoring


def restore(namespace, names, blobs, packages, fetch):
    """Loads variables into the namespace: fetch(blob) gives a part and whether it is the last. Returns the fields of the
    resolve.
    """
    members = {}
    for name, blob in zip(names, blobs):
        members.setdefault(blob, []).append(name)
    loaded = {}
    reasons = {}
    for blob, group in members.items():
        source = _Source(fetch, blob)
        try:
            _load(source, namespace, group, loaded)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            reasons.update(dict.fromkeys(group, reason_of(error)))
    found = versions(packages)
    return {
        "unrestored": list(reasons),
        "reasons": list(reasons.values()),
        "packages": list(found),
        "versions": list(found.values()),
    }


def _load(source, namespace, group, loaded):
    pickle = standard("pickle")

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid):
            if pid == _NAMESPACE:
                return namespace
            if pid not in loaded:
                raise NotSaved(f"it refers to {_shortened(str(pid), 64)}, which could not be restored")
            return loaded[pid]

    values = Unpickler(source).load()
    if type(values) is not dict or not set(group) <= set(values):
        raise pickle.UnpicklingError("the pickle does not hold the variables that it should")
    for name in group:
        loaded[name] = namespace[name] = values[name]


class _Source:
    """A pickle as it comes from the kernel, a part at a time."""

    def __init__(self, fetch, blob):
        self._fetch = fetch
        self._blob = blob
        self._part = memoryview(b"")
        self._ended = False

    def _more(self):
        """Whether there is something left."""
        while not self._part and not self._ended:
            self._part, self._ended = self._fetch(self._blob)
        return bool(self._part)

    def _take(self, most):
        taken, self._part = self._part[:most], self._part[most:]
        return taken

    def read(self, size):
        if len(self._part) >= size:
            return bytes(self._take(size))
        data = bytearray()
        while len(data) < size and self._more():
            data += self._take(size - len(data))
        return bytes(data)

    def readinto(self, target):
        view = memoryview(target).cast("B")
        at = 0
        while at < len(view) and self._more():
            taken = self._take(len(view) - at)
            view[at : at + len(taken)] = taken
            at += len(taken)
        return at

    def readline(self):
        data = bytearray()
        while not data.endswith(b"\n") and self._more():
            data += self._take(1)
        return bytes(data)
