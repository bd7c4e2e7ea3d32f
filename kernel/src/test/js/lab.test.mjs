// JupyterLab's own client code, @jupyterlab/services, against a jupyter-server that runs the kernel.
import { KernelManager, KernelSpecManager, ServerConnection } from '@jupyterlab/services';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { startServer } from './server.mjs';

const NAME = process.env.CAPSULE_KERNEL ?? 'capsule-python';
const PATIENCE = { timeout: 60_000 };

let server;
let settings;
let kernels;
let kernel;

before(async () => {
  server = await startServer();
  settings = ServerConnection.makeSettings({
    baseUrl: server.url,
    wsUrl: server.socketUrl,
    WebSocket,
    token: server.token,
    appendToken: true,
  });
  kernels = new KernelManager({ serverSettings: settings });
  await kernels.ready;
  kernel = await kernels.startNew({ name: NAME });
}, PATIENCE);

after(async () => {
  kernels?.dispose();
  await server?.stop();
}, PATIENCE);

/** The processes that were given the connection file of a kernel, which the server names by the kernel's id. */
function fronts(id) {
  return readdirSync('/proc').filter(entry => /^\d+$/.test(entry)).filter(pid => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(`kernel-${id}.json`);
    } catch {
      // It has ended meanwhile.
      return false;
    }
  });
}

/** Runs a cell; the answers are for the questions it asks. */
async function execute(code, answers = []) {
  const outputs = [];
  const questions = [];
  const future = kernel.requestExecute({ code, stop_on_error: true, allow_stdin: true });
  future.onIOPub = message => {
    const { header: { msg_type: type }, content } = message;
    if (type !== 'status' && type !== 'execute_input') {
      outputs.push({ type, ...content });
    }
  };
  future.onStdin = message => {
    questions.push(message.content);
    kernel.sendInputReply({ status: 'ok', value: answers.shift() }, message.header);
  };
  const { content: reply } = await future.done;
  const text = outputs.filter(({ type }) => type === 'stream').map(each => each.text).join('');
  const result = outputs.find(({ type }) => type === 'execute_result')?.data['text/plain'];
  return { reply, outputs, questions, text, result };
}

/** Waits until the kernel's signal has given a value that is wanted. */
function signalled(signal, wanted) {
  return new Promise(resolve => {
    const slot = (_, value) => {
      if (wanted(value)) {
        signal.disconnect(slot);
        resolve(value);
      }
    };
    signal.connect(slot);
  });
}

test('the specification is offered', PATIENCE, async () => {
  const specs = new KernelSpecManager({ serverSettings: settings });
  await specs.ready;
  const spec = specs.specs.kernelspecs[NAME];
  assert.equal(spec.language, 'python');
  assert.deepEqual(Object.keys(spec.resources).filter(name => name.startsWith('logo')).sort(), [
    'logo-32x32', 'logo-64x64', 'logo-svg',
  ]);
  specs.dispose();
});

test('the kernel tells about itself', PATIENCE, async () => {
  const info = await kernel.info;
  assert.equal(info.status, 'ok');
  assert.equal(info.language_info.name, 'python');
  assert.equal(info.language_info.file_extension, '.py');
});

test('a cell prints and has a result', PATIENCE, async () => {
  const { reply, text, result, outputs } = await execute('print("hello"); 6 * 7');
  assert.equal(reply.status, 'ok');
  assert.equal(text, 'hello\n');
  assert.equal(result, '42');
  assert.deepEqual(outputs.map(({ type }) => type), ['stream', 'execute_result']);
});

test('an error has its name, value and traceback', PATIENCE, async () => {
  const { reply, outputs } = await execute('1/0');
  assert.equal(reply.status, 'error');
  assert.deepEqual(outputs.map(({ type, ename, evalue }) => [type, ename, evalue]), [
    ['error', 'ZeroDivisionError', 'division by zero'],
  ]);
  assert.ok(outputs[0].traceback.length > 0);
});

test('input is asked for', PATIENCE, async () => {
  const { questions, text } = await execute('x = input("name? "); print(x.upper())', ['typed é😀']);
  assert.deepEqual(questions, [{ prompt: 'name? ', password: false }]);
  assert.equal(text, 'TYPED É😀\n');
});

test('names are completed', PATIENCE, async () => {
  const { content } = await kernel.requestComplete({ code: 'isinst', cursor_pos: 6 });
  assert.equal(content.status, 'ok');
  assert.deepEqual([content.matches, content.cursor_start, content.cursor_end], [['isinstance'], 0, 6]);
});

test('names are inspected', PATIENCE, async () => {
  const { content } = await kernel.requestInspect({ code: 'len', cursor_pos: 3, detail_level: 0 });
  assert.equal(content.found, true);
  assert.match(content.data['text/plain'], /number of items/);
});

test('code is complete, incomplete or invalid', PATIENCE, async () => {
  const statuses = [];
  for (const code of ['1', 'for i in x:', ')']) {
    statuses.push((await kernel.requestIsComplete({ code })).content.status);
  }
  assert.deepEqual(statuses, ['complete', 'incomplete', 'invalid']);
});

test('history remembers', PATIENCE, async () => {
  await execute('"remembered"');
  const { content } = await kernel.requestHistory({ output: false, raw: true, hist_access_type: 'tail', n: 1 });
  assert.equal(content.history[0][2], '"remembered"');
});

test('a comm to nobody is closed', PATIENCE, async () => {
  const comm = kernel.createComm('nobody');
  const closed = new Promise(resolve => {
    comm.onClose = resolve;
  });
  await comm.open({}).done;
  const { content } = await closed;
  assert.equal(content.comm_id, comm.commId);
  assert.deepEqual((await kernel.requestCommInfo({})).content.comms, {});
});

test('a running cell is interrupted', PATIENCE, async () => {
  const future = kernel.requestExecute({ code: 'print("now", flush=True)\nwhile True: pass' });
  await new Promise(resolve => {
    future.onIOPub = ({ header }) => header.msg_type === 'stream' && resolve();
  });
  await kernel.interrupt();
  const { content } = await future.done;
  assert.deepEqual([content.status, content.ename], ['error', 'KeyboardInterrupt']);
  assert.equal((await execute('1 + 1')).result, '2');
});

test('the state that is shown follows the cells', PATIENCE, async () => {
  const busy = signalled(kernel.statusChanged, status => status === 'busy');
  const cell = execute('1');
  await busy;
  const idle = kernel.status === 'idle' ? null : signalled(kernel.statusChanged, status => status === 'idle');
  await cell;
  await idle;
  assert.equal(kernel.status, 'idle');
});

test('fifty queued cells run in order', PATIENCE, async () => {
  const queued = Array.from({ length: 50 }, (_, index) => execute(`print(${index}); ${index} * 2`));
  const done = await Promise.all(queued);
  assert.deepEqual(done.map(({ text }) => text), Array.from({ length: 50 }, (_, index) => `${index}\n`));
  assert.deepEqual(done.map(({ result }) => result), Array.from({ length: 50 }, (_, index) => `${index * 2}`));
});

test('a restart gives a new session on the same connection', PATIENCE, async () => {
  await execute('before = 1');
  await kernel.restart();
  const { reply } = await execute('before');
  assert.deepEqual([reply.status, reply.ename], ['error', 'NameError']);
  assert.equal((await execute('6 * 7')).result, '42');
});

test('shutdown ends the process', PATIENCE, async () => {
  const { id } = kernel;
  assert.equal(fronts(id).length, 1);
  await kernel.shutdown();
  assert.deepEqual(fronts(id), []);
  await kernels.refreshRunning();
  assert.deepEqual([...kernels.running()].filter(each => each.id === id), []);
});
