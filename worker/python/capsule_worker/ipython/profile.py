"""The person's IPython profile: configuration, extensions and startup files, if there are any. Writes nothing."""

import glob
import os
import sys

from IPython.core.profiledir import ProfileDir
from traitlets import observe
from traitlets.config import Config

_EVERYBODYS = (os.path.join(sys.prefix, "etc", "ipython"), "/usr/local/etc/ipython", "/etc/ipython")
_CONFIG_FILES = ("ipython_config.py", "ipython_kernel_config.py")
_PARTS = ("security", "log", "startup", "pid", "static")


def ipython_folder():
    return os.path.abspath(os.path.expanduser(os.environ.get("IPYTHONDIR") or "~/.ipython"))


class Profile(ProfileDir):
    """The folder of the default profile. Unlike IPython's, it is not made because a session begins."""

    @observe("location")
    def _location_changed(self, change):
        for name in _PARTS:
            setattr(self, name + "_dir", os.path.join(change["new"], name))

    @observe(*(name + "_dir" for name in _PARTS))
    def check_dirs(self, change=None):
        """They are made by whoever needs them."""

    check_log_dir = check_startup_dir = check_security_dir = check_pid_dir = check_static_dir = check_dirs


def profile():
    return Profile(location=os.path.join(ipython_folder(), "profile_default"))


def database(location):
    """What %store, %bookmark and %cd remember. If the folder cannot be written, only for the session."""
    try:
        try:
            from IPython.external.pickleshare import PickleShareDB
        except ImportError:
            from pickleshare import PickleShareDB
        return PickleShareDB(os.path.join(location, "db"))
    except (ImportError, OSError):
        return {}


def config(location):
    """(configuration, errors): the person's own goes before everybody's."""
    merged, errors = Config(), []
    for folder in (*reversed(_EVERYBODYS), location):
        for name in _CONFIG_FILES:
            if os.path.isfile(os.path.join(folder, name)):
                try:
                    from traitlets.config.loader import PyFileConfigLoader

                    merged.merge(PyFileConfigLoader(name, path=folder).load_config())
                except Exception as error:
                    errors.append(f"{os.path.join(folder, name)} was not read: {type(error).__name__}: {error}")
    return merged, errors


def start(shell):
    """Loads the extensions, and runs the startup files and lines, in the cells' namespace."""
    app = Config()
    for name in ("InteractiveShellApp", "BaseIPythonApplication", "IPKernelApp"):
        app.merge(shell.config.get(name, {}))
    for extension in ("storemagic", *(app.get("extensions") or ()), *(app.get("extra_extensions") or ())):
        try:
            shell.extension_manager.load_extension(extension)
        except Exception as error:
            print(f"extension {extension} was not loaded: {type(error).__name__}: {error}", file=sys.stderr)
    for file in _startup_files(shell.profile_dir.startup_dir, app):
        _run(shell, file)
    for line in app.get("exec_lines") or ():
        shell.run_cell(line, store_history=False)
    for file in app.get("exec_files") or ():
        _run(shell, os.path.join(shell.ipython_dir, os.path.expanduser(file)))
    shell.user_ns_hidden.update(shell.user_ns)
    shell._sys_modules_keys = set(sys.modules)


def _startup_files(own, app):
    script = os.environ.get("PYTHONSTARTUP")
    if script and app.get("exec_PYTHONSTARTUP", True):
        yield script
    files = []
    for folder in (*(os.path.join(entry, "startup") for entry in reversed(_EVERYBODYS)), own):
        for ending in ("*.py", "*.ipy"):
            files += glob.glob(os.path.join(glob.escape(folder), ending))
    yield from sorted(files)


def _run(shell, file):
    if file.endswith((".ipy", ".ipynb")):
        shell.safe_execfile_ipy(file)
    else:
        names = shell.user_ns
        before = names.get("__file__")
        names["__file__"] = file
        try:
            shell.safe_execfile(file, names)
        finally:
            if before is None:
                names.pop("__file__", None)
            else:
                names["__file__"] = before
