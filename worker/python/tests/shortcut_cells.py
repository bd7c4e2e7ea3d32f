"""Cells, run one after the other, at which IPython's ways to find out what a text is differ, or at which a shortcut could."""

_EVENTS = ("pre_execute", "pre_run_cell", "post_execute", "post_run_cell")

CELLS = [
    # Python as it stands
    *("1+1", "x = 1", "print(x)", "f = lambda n: n\nf(3)", "_ + 1", "_, __, ___", "Out[1], In[1]", "x;", "x; # why", "'a;'"),
    *("x\n\n", "x \\\n + 1", "(x,\n x)", "'''\n  s\n'''", "'''a\\\n  b'''", "f'{x!r:>5}'", "f'{x = }'", "a = b = x % 2"),
    *("x if x else x", "x\r\ny = 2\r\ny", "x\x0c", "\x0cx", "x\x0by = 1", "x\u2028y", "ä = 'ö'\nä", "x,", "print('a'); x"),
    # hardly any
    *("", " ", "\n", "# comment", "#", "  x", "\tx\n\tx + 1", "\n\nx\n", "  if x:\n    print(x)\n  else:\n    pass"),
    # none
    *("if x:\n        y = 1\n    y = 2", "if x:\ny", "x = = 1", "return 1", "(", "'", "print('first')\nreturn 1", "x\0y"),
    *("'''", "f'{'", "def", "1 2", "x y", "for i in x: pass\nelse", "a = 1\n  b = 2"),
    # asynchronous
    *("await 1", "import asyncio\nawait asyncio.sleep(0, 'waited')", "[n async for n in x]", "async def g():\n    return 5"),
    *("await g()", "async with x: pass", "def late():\n    await g()", "print(1)\nawait g()"),
    # prompts and other ways to write a cell
    *(">>> x\n>>> x + 1", "In [1]: x", "   ...: x", "x\n...", "...", "x\n>>> x", "/f 3", ",f a b", ";f a", "x ,\\\n x"),
    # magics
    *("%pwd;", "p = %pwd;", "pwd = 3\npwd", "pwd", "del pwd", "pwd;", "pwd # where", "ls = 1", "who", "l = !echo a", "l"),
    *("!echo b", "%%capture c\nprint(x)", "c.stdout", "x?", "?x", "x %f", "%macro -q m 1", "m", "m + m", "automagic", "who", "automagic"),
    # what Python warns of
    *("x is 1", "x == 1, x is 1", r"'\d'", "assert (x, 'y')", "1if x else 2", "(1)(2)", "print('once')\nx is 1"),
    *("import warnings\nwarnings.simplefilter('error')", "x is 1", "warnings.resetwarnings()", "x is 1", r"'\d'"),
    *("warnings.simplefilter('ignore')", "x is 1", "warnings.resetwarnings()", "len(warnings.filters)"),
    # what things look like
    *("%precision 2", "1/3", "1e100", "%precision", "1/3", "True, None, 1.5", "True", "None", "'s'", "b'b'", "10 ** 5000"),
    *(r"'\x85\u2028\n'", "1.0", "-0.0", "float('nan')", "[1, [2.5, 'a'], (3,)]", "list(range(1001))", "{3, 1, 2}", "{'b': 1, 'a': 2}"),
    "f_ = get_ipython().display_formatter.formatters",
    *("f_['text/plain'].for_type(int, lambda n, p, cycle: p.text('int'));", "7", "True", "[7]", "f_['text/plain'].pop(int);"),
    *("f_['text/plain'].for_type(float, lambda n, p, cycle: p.text('float'));", "7.5", "7"),
    *("f_['text/plain'].singleton_printers[id(None)] = lambda n, p, cycle: p.text('nothing')", "None", "[None]"),
    *("f_['text/html'].for_type(str, '<b>{}</b>'.format);", "'bold'", "f_['text/html'].pop(str);", "'bold'"),
    *("f_['text/html'].for_type_by_name('builtins', 'int', '<i>{}</i>'.format);", "7", "7", "f_['text/html'].pop(int);"),
    *("f_['text/html'].type_printers = {list: str}", "[7]", "f_['text/html'].type_printers = {}", "[7]"),
    *("f_['text/plain'].type_printers = {}", "7, 's'", "7", "7.5", "f_['text/plain'].pprint = False", "7", "[7]"),
    *("f_['x/y'] = f_['text/html']", "7", "f_['x/y'].for_type(int, str);", "7", "del f_['x/y']", "7", "f_['text/html'].pop(int);"),
    # flags that stay
    *("from __future__ import annotations", "def h(a: nothing): pass\nh.__annotations__", "from __future__ import braces"),
    # settings
    *("s = get_ipython()", "s.ast_node_interactivity = 'all'", "1\n2", "s.ast_node_interactivity = 'last_expr_or_assign'"),
    *("y = 4", "s.ast_node_interactivity = 'none'", "1", "s.ast_node_interactivity = 'last_expr'", "s.autocall = 2", "f 3"),
    *("len 'ab'", "s.autocall = 0", "s.automagic = False", "who", "s.automagic = True", "s.autoawait = False", "await g()"),
    *("x", "s.autoawait = True", "await g()", "s.execution_count = 'four'", "s.last_execution_succeeded = 'no'"),
    "def shout(lines): return [line.replace('loud', 'LOUD') for line in lines]",
    *("s.input_transformers_post.append(shout)", "'loud'", "s.input_transformers_post.clear()", "'loud'"),
    *("s.input_transformers_cleanup.append(shout)", "'loud'", "s.input_transformers_cleanup.remove(shout)", "'loud'"),
    *("s.input_transformer_manager.line_transforms.append(shout)", "'loud'", "s.input_transformer_manager.line_transforms.pop();"),
    "import ast\nclass Twice(ast.NodeTransformer):\n"
    "    def visit_Constant(self, node):\n        return ast.copy_location(ast.Constant(node.value * 2), node)",
    *("s.ast_transformers.append(Twice())", "21", "s.ast_transformers.clear()", "21", "21"),
    "transform = s.transform_cell; s.transform_cell = lambda cell: transform(cell.replace('loud', 'LOUD'))",
    *("'loud'", "del s.transform_cell", "'loud'"),
    "parse = s.compile.ast_parse; s.compile.ast_parse = lambda *of, **named: (print('parses'), parse(*of, **named))[1]",
    *("21", "del s.compile.ast_parse", "21"),
    "check = s.prefilter_manager.checkers[0]; check.enabled = True; check.check = lambda line: print('checks', line.line)",
    *("21", "check.enabled = False", "21", "s.prefilter_manager.prefilter_lines = lambda lines: '22'", "21"),
    *("# In two lines\ndel s.prefilter_manager.prefilter_lines", "21"),
    "def told(*of): print(*[type(one).__name__ for one in of])",
    *(f"s.events.register('{event}', told)" for event in _EVENTS),
    *("2", "q = 1", "2 +", "1 / 0", "await g()", ""),
    *(f"s.events.unregister('{event}', told)" for event in _EVENTS),
    "def seen(change): print(change['name'], change['new'])",
    *("s.observe(seen, ['execution_count', 'last_execution_succeeded'])", "3", "1 / 0", "4"),
    *("s.unobserve(seen, ['execution_count', 'last_execution_succeeded'])", "s.observe(seen)", "5", "s.unobserve(seen)", "6"),
    "import sys; hook = sys.displayhook; sys.displayhook = lambda value: print('hook', value)",
    *("7", "get_ipython().display_trap.hook is hook", "s.last_execution_result.result"),
    # cells in cells, and errors
    *("s.run_cell('8')", "s.run_cell('8', store_history=True)", "s.run_cell('x is 1\\nawait g()')", "s.run_cell('8', silent=True)"),
    *("1 / 0", "raise SystemExit", "def fails():\n    raise KeyError(1)\n\nfails()", "print(1)\nfails()\nprint(2)", "print(1)\n2\nfails("),
    "def deep(n):\n    if n:\n        deep(n - 1)\n    else:\n        return [].pop()\n",
    *("deep(2)", "deep(30)", "deep(10 ** 5)", "import json; json.loads('{')", "import re; re.compile('(')", "exec('1 / 0')"),
    *("def caught():\n    try:\n        deep(1)\n    except IndexError as e:\n        raise KeyError('é') from e", "caught()"),
    *("try:\n    caught()\nexcept KeyError:\n    nothing", "async def waits():\n    await g()\n    1 / 0", "await waits()"),
    *("print(\n    'a',\n    len(\n        5\n    ),\n)", "x = [\n    n / 0\n    for n in [1]]", "f'{1 / 0}'", "'ü' + 1", "(lambda: nothing)()"),
    *("class Broken(Exception):\n    def __str__(self): raise ValueError(1)\nraise Broken", "s.run_cell('s.run_cell(\"1 / 0\")')"),
    "def nest(n):\n    s.run_cell(f'nest({n - 1})') if n else 1 / 0\n\nnest(6)",
    "def hides():\n    __tracebackhide__ = True\n    fails()\n\nhides()",
    *("%xmode Verbose", "caught()", "deep(1)", "%xmode Minimal", "caught()", "%xmode Plain", "caught()", "%xmode Context"),
    *("%colors NoColor", "caught()", "%colors Linux", "caught()", "%colors LightBG", "caught()", "%tb", "%colors Neutral", "%tb"),
    "from IPython.core import ultratb; ultratb.VerboseTB._tb_highlight = ultratb.VerboseTB.tb_highlight = 'bg:ansired'",
    *("caught()", "import pygments.styles as p, pygments.token as t", "p.get_style_by_name('default').styles[t.Keyword] = '#f00'", "caught()"),
    *("input('?')", "import time; time.sleep('x')", "exit_code = !exit 3", "s.InteractiveTB.tb_offset = 0", "caught()", "s.InteractiveTB.tb_offset = 1"),
    "r = s.last_execution_result; r.success, r.result, repr(r.error_before_exec), r.info.raw_cell, r.info.store_history",
    # what is left of it all
    *("s.last_execution_succeeded, s._last_input_line", "%history -n", "h = s.history_manager; h.input_hist_raw, h.input_hist_parsed"),
    *("h.output_hist_reprs, h.output_hist is Out, h.input_hist_parsed is In", "h._i, h._ii, h._iii, h._i00", "_i, _ii, _iii, _i1, _1"),
    *("sorted(s.compile._filename_map.values()), s.compile.flags", "s.transform_cell('%pwd')", "s.transform_cell('x')"),
    *("s.should_run_async('x', transformed_cell='await x')", "s.should_run_async('x', transformed_cell='x')"),
    *("h.reset(); In, Out, _i", "%reset -f", "In, Out", "3", "_, __, Out", "sorted(get_ipython().user_ns)", "%config HistoryManager"),
    "sorted(get_ipython().user_ns_hidden), get_ipython().history_manager.input_hist_parsed is In",
]
