"""Imports: the worker's own late ones, and being told of those that cells make."""

import sys
from _frozen_importlib_external import PathFinder
from _thread import get_ident


def standard(name):
    """Imports a module of the standard library, also when the notebook's folder has a file of that name."""
    module = sys.modules.get(name)
    if module is None:
        _elsewhere.threads.append(get_ident())
        try:
            __import__(name)
        finally:
            _elsewhere.threads.remove(get_ident())
        module = sys.modules[name]
    return module


class _Elsewhere:
    """Finder in sys.meta_path: to a thread of these, the notebook's folder is not there. Others may import at the same
    time, so sys.path stays as it is.
    """

    def __init__(self):
        self.threads = []

    def find_spec(self, name, path=None, target=None):
        if path is not None or get_ident() not in self.threads:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            if finder is PathFinder:
                spec = finder.find_spec(name, [entry for entry in sys.path if entry not in ("", ".")], target)
            else:
                spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
        return None


_elsewhere = _Elsewhere()
sys.meta_path.insert(0, _elsewhere)


class ImportWatch:
    """Finder in sys.meta_path that finds nothing itself: it calls back when a module has been loaded."""

    def __init__(self):
        self._callbacks = {}

    def when_loaded(self, name, callback):
        """Calls `callback(module)` once, now if the module is there already."""
        if name in sys.modules:
            callback(sys.modules[name])
        else:
            self._callbacks[name] = callback

    def find_spec(self, name, path=None, target=None):
        if name not in self._callbacks:
            return None
        # Those before it have been asked already.
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                # A folder without __init__.py has no loader, and is not what was meant.
                if spec.loader is not None:
                    self._extend(spec.loader, name)
                return spec
        return None

    def _extend(self, loader, name):
        exec_module = loader.exec_module

        def exec_and_tell(module):
            exec_module(module)
            callback = self._callbacks.pop(name, None)
            if callback is not None:
                callback(module)

        loader.exec_module = exec_and_tell
