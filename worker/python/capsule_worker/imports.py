"""Imports: the worker's own late ones, and being told of those that cells make."""

import sys


def standard(name):
    """Imports a module of the standard library, also when the notebook's folder has a file of that name."""
    module = sys.modules.get(name)
    if module is None:
        path = sys.path
        sys.path = [entry for entry in path if entry not in ("", ".")]
        try:
            __import__(name)
        finally:
            sys.path = path
        module = sys.modules[name]
    return module


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
