import numba
import numpy as np

from streams import jit


def test_a_kernel_is_compiled_from_its_module_and_from_all_that_it_imports():
    assert jit.sources("geometry") == ("geometry",)
    assert {"tracking", "gates", "matching", "geometry", "candidates", "tables"} <= set(jit.sources("tracking"))


def test_an_edit_renames_the_cache_of_what_depends_on_it_and_of_nothing_else(monkeypatch):
    modules = ("geometry", "matching", "tracking", "headways")
    before = {module: jit.stamp(module) for module in modules}
    text = jit._text
    monkeypatch.setattr(jit, "_text", lambda module: text(module) + ("# edited\n" if module == "geometry" else ""))
    jit.stamp.cache_clear()
    try:
        changed = {module for module in modules if jit.stamp(module) != before[module]}
    finally:
        jit.stamp.cache_clear()
    assert changed == {"geometry", "matching", "tracking"}


def test_asking_for_memory_early_changes_nothing_wherever_it_is():
    @numba.njit
    def ask(array):
        for item in (0, 5, -1_000_000, 1_000_000):
            jit.prefetch(array, item)
        return array[5]

    array = np.arange(6.0)
    assert ask(array) == 5.0
    assert ask.py_func(array) == 5.0
    assert array.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
