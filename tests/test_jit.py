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
