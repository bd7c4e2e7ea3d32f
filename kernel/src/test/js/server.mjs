// A jupyter-server of a test's own, in an empty directory.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Starts a server, which listens on the loopback interface alone and wants its token; options are further ones. */
export async function startServer(options = []) {
  const root = mkdtempSync(join(tmpdir(), 'capsule-lab-'));
  const token = randomBytes(16).toString('hex');
  const port = await freePort();
  const program = spawn(
    '/usr/bin/jupyter',
    [
      'server', '--no-browser', '--allow-root', '--ServerApp.ip=127.0.0.1', `--ServerApp.port=${port}`,
      '--ServerApp.port_retries=0', `--ServerApp.token=${token}`, `--ServerApp.root_dir=${root}`, ...options,
    ],
    { stdio: ['ignore', 'inherit', 'pipe'] },
  );
  await said(program, 'is running at');
  return {
    root,
    token,
    url: `http://127.0.0.1:${port}/`,
    socketUrl: `ws://127.0.0.1:${port}/`,
    async stop() {
      if (program.exitCode === null) {
        const ended = new Promise(resolve => program.once('exit', resolve));
        program.kill('SIGTERM');
        await ended;
      }
      rmSync(root, { recursive: true, force: true });
    },
  };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** Waits until the program has written a text to its standard error, all of which is shown. */
function said(program, text) {
  return new Promise((resolve, reject) => {
    let all = '';
    program.stderr.on('data', chunk => {
      process.stderr.write(chunk);
      all += chunk;
      if (all.includes(text)) {
        resolve();
      }
    });
    program.once('exit', code => reject(new Error(`it ended with ${code}:\n${all}`)));
  });
}
