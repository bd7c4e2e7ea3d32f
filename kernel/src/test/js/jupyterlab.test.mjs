// JupyterLab in a browser, used as people use it: by keyboard, mouse and menus. All tests share a page, until one
// fails; each has notebooks and kernels of its own, and leaves a picture of what was on the screen when it ended.
import { chromium } from 'playwright-core';
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startServer } from './server.mjs';

const KERNEL = process.env.CAPSULE_KERNEL;
// With ipywidgets and tqdm, and with every kind of output.
const OPEN_KERNEL = process.env.CAPSULE_OPEN_KERNEL;
// Where JupyterLab is unpacked, in which the tour is, and for what the tests leave behind.
const { CAPSULE_LAB: LAB, CAPSULE_NOTEBOOKS: NOTEBOOKS, CAPSULE_PICTURES: PICTURES } = process.env;
const PATIENCE = { timeout: 60_000 };

let server;
let browser;
let page;
let opened = 0;

before(async () => {
  const [settings, user, workspaces] = ['settings', 'user-settings', 'workspaces'].map(name => {
    const directory = join(PICTURES, 'state', name);
    mkdirSync(directory, { recursive: true });
    return directory;
  });
  writeFileSync(join(settings, 'page_config.json'), JSON.stringify({
    exposeAppInBrowser: true,
    // They would be fetched from the net.
    disabledExtensions: { '@jupyterlab/apputils-extension:announcements': true },
  }));
  server = await startServer([
    '--ServerApp.jpserver_extensions=jupyterlab_server=True', `--LabServerApp.static_dir=${LAB}/static`,
    `--LabServerApp.templates_dir=${LAB}/static`, `--LabServerApp.schemas_dir=${LAB}/schemas`,
    `--LabServerApp.themes_dir=${LAB}/themes`, `--LabServerApp.app_settings_dir=${settings}`,
    `--LabServerApp.user_settings_dir=${user}`, `--LabServerApp.workspaces_dir=${workspaces}`,
  ]);
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    // Chromium's own sandbox refuses to run as root.
    chromiumSandbox: process.getuid() !== 0,
    args: [
      '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
    ],
  });
}, PATIENCE);

after(async () => {
  await browser?.close();
  await server?.stop();
}, PATIENCE);

/** A test of what JupyterLab shows. */
function lab(name, body) {
  test(name, PATIENCE, async () => {
    page ??= await freshPage();
    try {
      await Promise.race([body(), new Promise((_, reject) => {
        setTimeout(reject, 50_000, new Error('it took too long')).unref();
      })]);
    } catch (error) {
      // What a test left half done is not for the next one.
      await shoot(name);
      await page.close();
      page = undefined;
      throw error;
    }
    await shoot(name);
    await page.evaluate(async () => {
      for (const panel of [...window.jupyterapp.shell.widgets('main')].filter(({ sessionContext }) => sessionContext)) {
        await panel.sessionContext.shutdown();
        panel.dispose();
      }
    });
  });
}

function shoot(name) {
  return page.screenshot({ path: join(PICTURES, `${name.replaceAll(' ', '-')}.png`) });
}

async function freshPage() {
  const fresh = await browser.newPage({ viewport: { width: 1300, height: 1000 } });
  fresh.setDefaultTimeout(20_000);
  await fresh.goto(`${server.url}lab?reset&token=${server.token}`);
  await fresh.waitForFunction(() => window.jupyterapp);
  await fresh.evaluate(async () => {
    await window.jupyterapp.restored;
  });
  return fresh;
}

/** Opens a notebook with these cells. */
function open(cells, { kernel = KERNEL, mode = 'tab-after' } = {}) {
  const name = `notebook-${++opened}.ipynb`;
  writeFileSync(join(server.root, name), JSON.stringify({
    nbformat: 4,
    nbformat_minor: 5,
    metadata: { kernelspec: { name: kernel, display_name: kernel, language: 'python' } },
    cells: cells.map((source, index) => ({
      cell_type: 'code', id: `cell-${index}`, source, metadata: {}, outputs: [], execution_count: null,
    })),
  }));
  return show(name, mode);
}

/** Opens a notebook that is there, waits for its kernel, and gives its part of the screen. */
async function show(path, mode = 'tab-after') {
  const id = await page.evaluate(async ([path, mode]) => {
    const panel = await window.jupyterapp.commands.execute('docmanager:open', { path, options: { mode } });
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    return panel.id;
  }, [path, mode]);
  return new Notebook(page.locator(`[id="${id}"]`));
}

/** Picks an entry of the menu bar by its command, and says yes to what it asks. */
async function choose(menu, command, { confirm = false } = {}) {
  await page.locator('.lm-MenuBar-itemLabel').getByText(menu, { exact: true }).click();
  await page.locator(`.lm-Menu-item[data-command="${command}"]`).click();
  if (confirm) {
    await page.locator('.jp-Dialog .jp-mod-accept').click();
  }
}

class Notebook {
  constructor(panel) {
    this.panel = panel;
  }

  /** A code cell, counted from 0 as all cells are. */
  cell(index) {
    return this.panel.locator('.jp-CodeCell').nth(index);
  }

  /** What a cell shows, and not what a widget in it shows. */
  output(index, text) {
    const outputs = this.cell(index).locator('.jp-OutputArea').first()
      .locator(':scope > .jp-OutputArea-child > .jp-OutputArea-output');
    return text === undefined ? outputs : outputs.filter({ hasText: text });
  }

  async edit(index, text = '') {
    await this.cell(index).locator('.cm-content').click();
    await this.cell(index).locator('.cm-editor.cm-focused').waitFor();
    await page.keyboard.type(text);
  }

  /** Runs a cell that has not run yet by keyboard, and does not wait for its end. */
  async start(index) {
    await this.edit(index);
    await page.keyboard.press('Control+Enter');
    await this.cell(index).locator('.jp-InputPrompt').filter({ hasText: /^\[(\*|\d+)\]:$/ }).waitFor();
  }

  /** Runs a cell by keyboard, and waits until its prompt has a number. */
  async run(index) {
    await this.start(index);
    return this.ended(index);
  }

  /** Waits until a cell has run. */
  async ended(index) {
    const prompt = this.cell(index).locator('.jp-InputPrompt').filter({ hasText: /^\[\d+\]:$/ });
    await prompt.waitFor();
    return prompt.textContent();
  }

  /** Waits for the kernel's statuses, one after the other. */
  async statuses(...wanted) {
    await this.panel.evaluate(({ id }, wanted) => new Promise(resolve => {
      const { sessionContext } = [...window.jupyterapp.shell.widgets('main')].find(panel => panel.id === id);
      sessionContext.statusChanged.connect((_, status) => {
        if (status === wanted[0] && wanted.shift() && wanted.length === 0) {
          resolve();
        }
      });
    }), wanted);
  }

  async answer(text) {
    const question = this.panel.locator('.jp-Stdin-input');
    await question.fill(text);
    await question.press('Enter');
  }
}

lab('all cells of the tour run', async () => {
  copyFileSync(join(NOTEBOOKS, 'tour.ipynb'), join(server.root, 'tour.ipynb'));
  const tour = await show('tour.ipynb');
  // The file has outputs already.
  await choose('Edit', 'editmenu:clear-all');
  await choose('Run', 'runmenu:run-all');
  await tour.answer('Ada');
  const cells = await tour.panel.locator('.jp-CodeCell').count();
  for (let index = 0; index < cells; index++) {
    assert.equal(await tour.ended(index), `[${index + 1}]:`);
  }
  const errors = tour.panel.locator('[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type$=".error"]');
  const texts = await errors.allTextContents();
  assert.deepEqual(texts.map(text => /^\w+(?=:)/m.exec(text.split('\n').findLast(line => /^\w+: /.test(line)))?.[0]), [
    'ZeroDivisionError', 'WorkerDied',
  ]);
  await tour.output(0, 'Hello from the worker').waitFor();
  await tour.output(11, 'Hello from the worker').waitFor();
});

lab('a figure of matplotlib is an image', async () => {
  const notebook = await open([
    "import matplotlib.pyplot as plt\nplt.figure(figsize=(3, 2), facecolor='red')\nplt.plot([1, 3, 2]);",
  ]);
  await notebook.run(0);
  const image = notebook.output(0).locator('img');
  await image.waitFor();
  const [width, height, corner] = await image.evaluate(async element => {
    await element.decode();
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: element.naturalWidth, height: element.naturalHeight });
    const drawing = canvas.getContext('2d');
    drawing.drawImage(element, 0, 0);
    return [canvas.width, canvas.height, [...drawing.getImageData(2, 2, 1, 1).data]];
  });
  assert.ok(width > 150 && height > 100, `${width} x ${height} pixels`);
  assert.deepEqual(corner, [255, 0, 0, 255]);
});

lab('a table of pandas is a table', async () => {
  const notebook = await open([
    "import pandas as pd\npd.DataFrame({'boat': ['cog', 'hulk'], 'masts': [1, 3]}, index=['north', 'south'])",
  ]);
  await notebook.run(0);
  // In a frame of its own, which has one for what it shows.
  const table = notebook.output(0).frameLocator('iframe').frameLocator('iframe').locator('table');
  assert.deepEqual(await table.locator('tr').evaluateAll(rows => rows.map(({ innerText }) => innerText.split('\t'))), [
    ['', 'boat', 'masts'], ['north', 'cog', '1'], ['south', 'hulk', '3'],
  ]);
});

lab('Tab completes a name', async () => {
  const notebook = await open(['class Boat:\n    sails = 2\n    seats = 4\n\nboat = Boat()', '']);
  await notebook.run(0);
  await notebook.edit(1, 'boat.s');
  await page.keyboard.press('Tab');
  const names = page.locator('.jp-Completer:not(.lm-mod-hidden) .jp-Completer-item .jp-Completer-match');
  await names.first().waitFor();
  assert.deepEqual(await names.allTextContents(), ['sails', 'seats']);
  await shoot('names to choose from');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await notebook.run(1);
  assert.deepEqual(await notebook.output(1).allInnerTexts(), ['4']);
});

lab('Shift-Tab tells about a function', async () => {
  const notebook = await open(['def reef(sail, turns=1):\n    """Makes a sail smaller."""', '']);
  await notebook.run(0);
  await notebook.edit(1, 'reef(');
  await page.keyboard.press('Shift+Tab');
  const text = await page.locator('.jp-Tooltip').filter({ hasText: 'Docstring' }).innerText();
  assert.match(text, /reef\(sail, turns=1\)/);
  assert.match(text, /Makes a sail smaller\./);
});

lab('input is asked for and answered', async () => {
  const notebook = await open(["name = input('Who? ')\nname.upper()"]);
  await notebook.start(0);
  await notebook.panel.locator('.jp-Stdin-prompt', { hasText: 'Who?' }).waitFor();
  await shoot('a question');
  await notebook.answer('Ada é😀');
  await notebook.ended(0);
  await notebook.output(0, "'ADA É😀'").waitFor();
});

lab('the menu interrupts a cell', async () => {
  const notebook = await open(["kept = 1\nprint('it runs', flush=True)\nwhile True: pass", 'kept + 1']);
  await notebook.start(0);
  await notebook.output(0, 'it runs').waitFor();
  await choose('Kernel', 'kernelmenu:interrupt');
  assert.equal(await notebook.ended(0), '[1]:');
  await notebook.output(0, 'KeyboardInterrupt').waitFor();
  await notebook.run(1);
  assert.deepEqual(await notebook.output(1).allInnerTexts(), ['2']);
});

lab('the menu restarts the kernel', async () => {
  const notebook = await open(['lost = 1', 'lost']);
  await notebook.run(0);
  const restarted = notebook.statuses('restarting', 'idle');
  await choose('Kernel', 'kernelmenu:restart', { confirm: true });
  await restarted;
  assert.equal(await notebook.run(1), '[1]:');
  await notebook.output(1, "NameError: name 'lost' is not defined").waitFor();
});

lab('two notebooks run at once', async () => {
  // Each end of the pipe waits for the other.
  const [left, right] = [
    await open(["import os\nos.mkfifo('meeting')\nwho = 'left'", "open('meeting', 'w').write('from ' + who)"]),
    await open(["who = 'right'", "open('meeting').read() + ' to ' + who"], { mode: 'split-right' }),
  ];
  await left.run(0);
  await left.start(1);
  await right.run(0);
  await left.cell(1).locator('.jp-InputPrompt', { hasText: '[*]:' }).waitFor();
  await right.run(1);
  await left.ended(1);
  await right.output(1, "'from left to right'").waitFor();
});

lab('a slider reaches the kernel', async () => {
  const notebook = await open([
    "import ipywidgets\nslider = ipywidgets.IntSlider(value=5)\nsaid = ipywidgets.Output()\n"
      + "slider.observe(lambda change: said.append_stdout(f\"now {change['new']}\\n\"), 'value')\n"
      + 'ipywidgets.VBox([slider, said])',
    'slider.value',
  ], { kernel: OPEN_KERNEL });
  await notebook.run(0);
  await notebook.output(0).locator('.noUi-handle').focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await notebook.output(0, 'now 7').waitFor();
  await notebook.run(1);
  assert.deepEqual(await notebook.output(1).allInnerTexts(), ['7']);
});

lab('tqdm has a progress bar', async () => {
  const notebook = await open(['from tqdm.notebook import tqdm\nfor _ in tqdm(range(30)): pass'], {
    kernel: OPEN_KERNEL,
  });
  await notebook.run(0);
  await notebook.output(0, '30/30').waitFor();
  await notebook.output(0).locator('.widget-hprogress .progress-bar-success').waitFor();
});

lab('the debugger stops at a breakpoint', async () => {
  const notebook = await open(['boat = "cog"\nmasts = 1\nmasts = masts + 2\nprint(boat, masts)']);
  await notebook.panel.locator('.jp-DebuggerBugButton').click();
  await notebook.panel.locator('.jp-DebuggerBugButton[aria-pressed="true"]').waitFor();
  const line = await notebook.cell(0).locator('.cm-line').nth(2).boundingBox();
  const gutter = await notebook.cell(0).locator('.cm-breakpoint-gutter').boundingBox();
  await page.mouse.click(gutter.x + gutter.width / 2, line.y + line.height / 2);
  await page.locator('.jp-DebuggerBreakpoint').waitFor();
  await notebook.start(0);
  const variable = name => page.locator('.jp-DebuggerVariables li').filter({ hasText: name });
  await variable('boat').filter({ hasText: 'cog' }).waitFor();
  await variable('masts').filter({ hasText: '1' }).waitFor();
  await notebook.cell(0).locator('.jp-DebuggerEditor-highlight', { hasText: 'masts + 2' }).waitFor();
  await page.locator('.jp-DebuggerCallstack li').first().waitFor();
  await shoot('a breakpoint');
  await page.locator('.jp-DebuggerSidebar').getByTitle('Next').click();
  await variable('masts').filter({ hasText: '3' }).waitFor();
  await page.locator('.jp-DebuggerSidebar').getByTitle('Continue').click();
  await notebook.ended(0);
  await notebook.output(0, 'cog 3').waitFor();
});
