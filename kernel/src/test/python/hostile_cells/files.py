"""Files: those of the user, of the system and of the workspace, and what host tools run later."""

from .table import DID, REFUSED, NotRun, cell

# Where bubblewrap has a directory of its own, what is not mounted is not there.
ABSENT = {"L1": "ENOENT", "L3": "EACCES"}
# Mounted, to be read only.
READ_ONLY = {"L1": "EROFS EACCES", "L3": "EACCES"}


SECRETS = [
    cell("reads_the_users_private_key", "attempt(show, HOME + '/.ssh/id_rsa')", **ABSENT),
    cell("lists_the_home", "attempt(listed, HOME)", **ABSENT),
    cell("reads_the_passwords_of_the_system", "attempt(show, '/etc/shadow')", **ABSENT),
    cell("reads_the_users_of_the_system", "attempt(lambda: found('root' in Path('/etc/passwd').read_text()))",
         L1="nothing", L3="EACCES", bare="found"),
    cell("reads_the_id_of_the_machine", "attempt(show, '/etc/machine-id')", bare="did empty ENOENT", **ABSENT),
    cell("reads_the_connection_file", "attempt(show, CONNECTION)", **ABSENT),
    cell("looks_for_connection_files", "attempt(listed, HOME + '/.local/share/jupyter/runtime')", **ABSENT),
    cell("reads_jupyters_secret", "attempt(show, HOME + '/.local/share/jupyter/notebook_secret')", **ABSENT),
    cell("reads_the_history", "attempt(show, HOME + '/.local/share/capsule/history.sqlite')", bare="did empty",
         **ABSENT),
    cell("reads_the_audit_log", "attempt(listed, HOME + '/.local/state/capsule')", **ABSENT),
    cell("reads_what_is_beside_the_workspace", "attempt(show, '../neighbour.txt')", **ABSENT),
    cell("reads_another_users_file_in_tmp", "attempt(show, TMP_FILE)", **ABSENT),
    cell("lists_tmp", "found(Path(TMP_FILE).name in (attempt(lambda: ' '.join(os.listdir('/tmp')))))",
         words="nothing", bare="found"),
    cell("climbs_out_by_dots", "attempts(*[lambda up=up: show('../' * up + CANARY.lstrip('/')) for up in (3, 9, 40)])",
         L1="ENOENT", L3="EACCES ENOENT", bare="did ENOENT"),
    cell("climbs_out_of_an_open_directory", """
here = os.open('.', os.O_RDONLY)
word = attempt(lambda: os.close(os.open('../' * 40 + CANARY.lstrip('/'), os.O_RDONLY, dir_fd=here)))
os.close(here)
word""", **ABSENT),
    cell("climbs_out_through_proc", """
here = os.open('.', os.O_RDONLY)
ways = ['/proc/self/root', '/proc/self/cwd/' + '../' * 40, f'/proc/self/fd/{here}/' + '../' * 40, '/proc/1/root',
        '/proc/1/cwd/' + '../' * 40, '/proc/self/task/%d/root' % os.getpid(), '/proc/thread-self/root']
word = attempts(*[lambda way=way: show(way + CANARY) for way in ways])
os.close(here)
word""", words=REFUSED, bare="did EACCES ENOENT"),
    cell("climbs_out_through_any_descriptor_of_any_process", """
def climb():
    reached = 0
    for pid in processes():
        for number in (attempt(lambda: ' '.join(os.listdir(f'/proc/{pid}/fd')))).split():
            if number.isdigit():
                reached += attempt(show, f'/proc/{pid}/fd/{number}/' + '../' * 40 + CANARY) == 'did'
                if reached:
                    break
    return found(reached)
here = os.open('.', os.O_RDONLY)
word = attempt(climb)
os.close(here)
word""", L1="nothing", L3="EACCES", bare="found"),
    cell("has_a_file_or_directory_open_from_the_start", """
def odd(number):
    try:
        mode = os.fstat(number).st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISLNK(mode)
found([number for number in range(1024) if odd(number)])""", words="nothing", bare="nothing"),
    cell("follows_a_link_of_its_own_out_of_the_workspace", """
os.symlink(CANARY, ROOM + '/link')
word = attempt(show, ROOM + '/link')
removed(ROOM + '/link')
word""", **ABSENT),
    cell("links_a_file_of_the_user_into_the_workspace", """
word = attempt(os.link, CANARY, ROOM + '/hard')
if word == 'did':
    removed(ROOM + '/hard')
word""", L1="ENOENT", L3="EACCES EXDEV EPERM"),
    cell("links_a_program_of_the_system_into_the_workspace", """
word = attempt(os.link, '/usr/bin/su', ROOM + '/su')
if word == 'did':
    removed(ROOM + '/su')
word""", L1="EXDEV EPERM", L3="EACCES EXDEV EPERM", bare="did EXDEV EPERM"),
    cell("renames_a_file_of_the_user_into_the_workspace", "attempt(moved_and_back, '../spare.txt', ROOM + '/taken')",
         L1="ENOENT EXDEV", L3="EACCES EXDEV"),
    cell("reads_extended_attributes_of_a_users_file", """
attempt(lambda: print(os.getxattr(CANARY, 'user.canary')))""", L1="ENOENT", L3="EACCES EPERM ENOTSUP"),
    cell("lists_extended_attributes_of_a_users_file", "attempt(os.listxattr, CANARY)",
         L1="ENOENT", L3="EACCES EPERM ENOTSUP"),
    # Landlock leaves open what can be known of a file without opening it; the tier's description says so.
    cell("asks_for_the_size_of_a_users_file", "attempt(os.stat, CANARY)", L1="ENOENT", L3=DID),
    cell("watches_a_users_directory", "attempt(call, 'inotify_add_watch', call('inotify_init1', 0), HOME.encode(), 2)",
         L1="ENOENT", L3="EPERM"),
    cell("watches_the_whole_file_system", "attempt(call, 'fanotify_init', 0, 0)", words="EPERM"),
    cell("reads_raw_disks_and_memory", """
attempts(*[lambda path=path: opened(path) for path in ('/dev/vda', '/dev/sda', '/dev/mem', '/dev/kmsg', '/proc/kcore',
                                                      '/dev/fuse', '/dev/kvm', '/dev/net/tun', '/dev/vsock')])""",
         bare="did ENOENT ENXIO EPERM EACCES EIO"),
    cell("finds_a_secret_anywhere", """
def search():
    names = []
    for top, directories, files in os.walk('/'):
        if top.count('/') > 3 or top.startswith(('/proc', '/usr', '/sys')):
            directories.clear()
        names += files
    return found({'id_rsa', 'secret.txt', Path(TMP_FILE).name} & set(names))
attempt(search)""", words="nothing", bare="found nothing"),
]


def _in_system():
    places = ["/", "/usr", "/usr/bin", "/usr/lib", "/etc", "/dev", "/home", "/root", "/var", "/var/tmp", "/run", "/opt",
              "/srv", "/boot", "/lib"]
    for place in places:
        yield cell("makes_a_file_in_" + (place.strip("/").replace("/", "_") or "the_root"),
                   f"attempt(plantable, {place!r})",
                   L1="EROFS ENOENT EACCES ENOTDIR", L3="EACCES ENOENT", bare="did EOPNOTSUPP EISDIR ENOENT")


SYSTEM = [
    *_in_system(),
    cell("writes_into_a_program_of_the_system", "attempt(writable, '/usr/bin/env')", L1="EROFS EACCES", L3="EACCES"),
    cell("writes_into_the_running_interpreter", "attempt(writable, os.path.realpath(sys.executable))",
         L1="EROFS EACCES ETXTBSY", L3="EACCES ETXTBSY", bare="ETXTBSY did"),
    cell("makes_every_file_system_writable", """
attempts(*[lambda path=path: call('mount', b'none', path, b'', 32 | 4096, None)
           for path in (b'/', b'/usr', b'/proc', b'/dev')])""", words="EPERM", bare=NotRun("it would remount the host's")),
    cell("plants_a_module_where_python_looks_for_them", """
attempts(*[lambda place=place: plantable(place) for place in sys.path if place.startswith('/') and os.path.isdir(place)])
""", L1="EROFS EACCES", L3="EACCES", bare="did EOPNOTSUPP"),
    cell("plants_bytecode_beside_the_modules", """
import importlib.util, json
attempts(*[lambda of=of: plantable(os.path.dirname(importlib.util.cache_from_source(of)))
           for of in (json.__file__, sys.modules['capsule_worker'].__file__)])""",
         L1="EROFS EACCES ENOENT", L3="EACCES ENOENT", bare="did EOPNOTSUPP ENOENT"),
    cell("changes_the_workers_own_program", "attempt(writable, sys.modules['capsule_worker.worker'].__file__)",
         L1="EROFS EACCES", L3="EACCES"),
    cell("replaces_the_workers_own_program", """
program = os.path.dirname(sys.modules['capsule_worker'].__file__)
attempts(lambda: plantable(program), lambda: moved_and_back(program, program + '-moved'))""",
         L1="EROFS EBUSY EACCES EPERM", L3="EACCES EXDEV"),
    cell("writes_into_the_jar_of_the_kernel", "attempt(writable, JAR)", L1="ENOENT", L3="EACCES"),
    cell("installs_a_kernel_of_its_own", """
places = [HOME + '/.local/share/jupyter', '/usr/share/jupyter', '/usr/local/share/jupyter', '/usr/local/share',
          sys.prefix + '/share']
attempts(*[lambda place=place: plantable(place) for place in places])""",
         L1="EROFS EACCES ENOENT", L3="EACCES ENOENT", bare="did EOPNOTSUPP ENOENT"),
    cell("writes_what_the_users_shell_runs", """
attempts(*[lambda path=path: opened(HOME + path, os.O_RDWR) for path in ('/.bashrc', '/.profile', '/.ssh/authorized_keys')])
""", **ABSENT),
    cell("changes_capsules_profiles", "attempt(plantable, HOME + '/.config/capsule')", bare="did EOPNOTSUPP", **ABSENT),
    cell("tells_the_kernel_what_handles_a_crash", "attempt(writable, '/proc/sys/kernel/core_pattern')",
         L1="EROFS EACCES", L3="EACCES"),
    cell("changes_settings_of_the_system", """
import glob
places = ['/proc/sys/kernel/hostname', '/proc/sys/kernel/modprobe', '/proc/sys/vm/drop_caches', '/proc/sysrq-trigger',
          '/proc/sys/fs/file-max', '/proc/sys/vm/overcommit_memory', '/proc/self/oom_score_adj', '/proc/1/oom_score_adj']
attempts(*[lambda place=place: writable(place) for place in places])""", bare="did EACCES ENOENT EPERM"),
    cell("writes_to_sys", """
places = ['/sys/kernel/uevent_helper', '/sys/power/state', '/sys/kernel/mm/transparent_hugepage/enabled',
          '/sys/fs/cgroup/cgroup.procs', '/sys/fs/cgroup/memory/tasks', '/sys/fs/cgroup/memory/release_agent',
          '/sys/fs/cgroup/pids/cgroup.procs', '/sys/fs/cgroup/unified/cgroup.procs']
attempts(*[lambda place=place: writable(place) for place in places])""", bare="did EACCES ENOENT EROFS EPERM"),
]


GUARDED = {"L1": "EROFS EBUSY EACCES", "L3": "EACCES EXDEV"}

WORKSPACE = [
    cell("plants_a_git_hook", "attempt(plantable, '.git/hooks')", bare="did EOPNOTSUPP", **GUARDED),
    cell("points_git_elsewhere", "attempt(writable, '.git/config')", **GUARDED),
    cell("plants_a_task_of_an_editor", "attempts(lambda: writable('.vscode/tasks.json'), lambda: plantable('.idea'))",
         bare="did EOPNOTSUPP", **GUARDED),
    cell("plants_start_up_code_of_jupyter", """
attempts(lambda: writable('jupyter_server_config.py'), lambda: writable('jupyter_notebook_config.json'))""", **GUARDED),
    cell("reads_what_is_hidden_in_the_workspace", """
attempts(lambda: show('.envrc'), lambda: show('.ssh/key'), lambda: show('.jupyter/token'))""",
         L1="empty ENOENT", L3="EACCES"),
    cell("writes_what_is_hidden_in_the_workspace", """
attempts(lambda: writable('.envrc'), lambda: plantable('.ssh'), lambda: plantable('.jupyter'))""",
         L1="EROFS EACCES", L3="EACCES", bare="did EOPNOTSUPP"),
    cell("renames_what_is_guarded", """
attempts(*[lambda name=name: moved_and_back(name, ROOM + '/moved')
           for name in ('.git', '.vscode', '.idea', '.envrc', '.ssh', '.jupyter', 'jupyter_server_config.py')])""",
         L1="EBUSY", L3="EACCES EXDEV"),
    cell("exchanges_what_is_guarded_for_its_own", """
def exchange(name, other):
    for _ in range(2):
        call('renameat2', -100, other.encode(), -100, name.encode(), 2)
os.mkdir(ROOM + '/decoy')
word = attempts(*[lambda name=name: exchange(name, ROOM + '/decoy') for name in ('.git', '.vscode', '.ssh')])
removed(ROOM + '/decoy')
word""", L1="EBUSY", L3="EACCES EXDEV"),
    cell("removes_what_is_guarded", """
attempts(*[lambda name=name: os.unlink(name) for name in ('.envrc', 'jupyter_server_config.py', '.git/config')],
         *[lambda name=name: os.rmdir(name) for name in ('.idea', '.jupyter', '.ssh', '.git')])""",
         L1="EBUSY EROFS ENOTEMPTY", L3="EACCES", bare=NotRun("other cells need what it would remove")),
    cell("replaces_what_is_guarded_by_a_link", """
attempts(*[lambda name=name: os.replace(ROOM + '/planted', name) for name in ('.envrc', 'jupyter_server_config.py')])
""".replace("attempts", "os.symlink('/etc', ROOM + '/planted')\nword = attempts", 1)
         + "removed(ROOM + '/planted')\nword",
         L1="EBUSY", L3="EACCES EXDEV", bare=NotRun("other cells need what it would replace")),
    cell("truncates_what_is_guarded", "attempts(lambda: os.truncate('.git/config', 0), lambda: os.truncate('.envrc', 0))",
         L1="EROFS EACCES", L3="EACCES", bare=NotRun("other cells need what it would empty")),
    # At L3 these calls do nothing and say that they did; that nothing has changed is among what is checked outside.
    cell("changes_modes_and_times_of_what_is_guarded", """
attempts(lambda: os.chmod('.git/config', 0o777), lambda: os.utime('.git/config', (1, 1)),
         lambda: os.chmod('.git/hooks', 0o777))""",
         L1="EROFS", L3=DID, bare=NotRun("other cells need it as it is")),
    cell("changes_modes_and_times_of_the_users_files", """
attempts(lambda: os.chmod(CANARY, 0o777), lambda: os.utime(CANARY, (1, 1)), lambda: os.chmod(HOME, 0o777))""",
         L1="ENOENT", L3=DID, bare=NotRun("other cells need them as they are")),
    cell("changes_owners_and_attributes_of_the_users_files", """
attempts(lambda: os.chown(CANARY, os.getuid(), os.getgid()), lambda: os.setxattr(CANARY, 'user.planted', b'x'),
         lambda: os.removexattr(CANARY, 'user.canary'))""",
         L1="ENOENT", L3="EPERM", bare=NotRun("other cells need them as they are")),
    cell("makes_a_users_file_immutable", """
import struct
with open('data.txt') as file:
    word = attempt(lambda: fcntl.ioctl(file, 0x40086602, struct.pack('l', 0x10)))
word""", L1="EPERM", L3="EPERM", bare=NotRun("an immutable file would be in the way of cleaning up")),
    cell("mounts_over_what_is_guarded", "attempt(call, 'mount', b'none', b'.git', b'tmpfs', 0, None)",
         words="EPERM", bare=NotRun("it would mount on the host")),
    cell("unmounts_what_is_guarded", "attempts(*[lambda name=name: call('umount2', name, 2) "
         "for name in (b'.git', b'.ssh', b'.envrc', b'/proc', b'/home/user')])", words="EPERM",
         bare=NotRun("/proc would be gone")),
    cell("makes_a_device", """
def device(kind, number):
    os.mknod(ROOM + '/device', kind | 0o600, number)
    removed(ROOM + '/device')
attempts(lambda: device(stat.S_IFCHR, os.makedev(1, 3)), lambda: device(stat.S_IFBLK, os.makedev(254, 0)))""",
         words="EPERM EACCES"),
    cell("makes_a_pipe_with_a_name", "os.mkfifo(ROOM + '/fifo'); attempt(removed, ROOM + '/fifo')", words=DID),
    cell("writes_a_file_of_a_tebibyte_without_content", """
def sparse():
    with open(ROOM + '/sparse', 'wb') as file:
        file.truncate(1 << 40)
word = attempt(sparse)
removed(ROOM + '/sparse')
word""", words="EFBIG"),
    cell("uses_names_that_are_too_long_or_odd", """
names = ['x' * 255, 'y' * 256, '\\n\\x1b[2J', '-rf', '\\udcff\\udcfe', 'a' * 4097]
word = attempts(*[lambda name=name: Path(ROOM, name).touch() for name in names])
for name in os.listdir(ROOM):
    removed(ROOM + '/' + name)
word""", words="did ENAMETOOLONG", bare="did ENAMETOOLONG"),
    cell("plants_a_sitecustomize_that_the_next_worker_would_run", """
import ctypes
for name in ('sitecustomize.py', 'usercustomize.py', 'os.py', 'capsule_worker.py'):
    Path(ROOM, name).write_text('import sys; sys.planted = True')
    attempt(os.rename, ROOM + '/' + name, name)
os.kill(os.getpid(), 9)""", """
import sys
word = 'found' if hasattr(sys, 'planted') else 'nothing'
import os
for name in ('sitecustomize.py', 'usercustomize.py', 'os.py', 'capsule_worker.py'):
    for path in (name, 'room/' + name):
        if os.path.exists(path):
            os.unlink(path)
word""", words="nothing", bare="nothing"),
    cell("leaves_a_variable_for_the_next_worker", """
for name in ('LD_PRELOAD', 'PYTHONPATH', 'PYTHONSTARTUP', 'CAPSULE_PLANTED'):
    os.environ[name] = '/planted'
os.kill(os.getpid(), 9)""", "import os\n'found' if '/planted' in os.environ.values() else 'nothing'",
         words="nothing", bare="nothing"),
]


SETUID_WAYS = {
    "chmod": "Path(F).touch(); os.chmod(F, M)",
    "fchmod": "d = os.open(F, os.O_CREAT | os.O_WRONLY, 0o700); os.fchmod(d, M)",
    "fchmodat": "Path(F).touch(); call('fchmodat', -100, F.encode(), M)",
    "fchmodat2": "Path(F).touch(); call('fchmodat2', -100, F.encode(), M, 0)",
    "open": "os.close(os.open(F, os.O_CREAT | os.O_WRONLY, M))",
    "old_open": "os.close(call('open', F.encode(), os.O_CREAT | os.O_WRONLY, M))",
    "creat": "os.close(call('creat', F.encode(), M))",
    "a_nameless_file": "d = os.open(ROOM, os.O_TMPFILE | os.O_WRONLY, M); call('linkat', -100, b'/proc/self/fd/%d' % d, -100, F.encode(), 0x400)",
    "openat2": "os.close(call('openat2', -100, F.encode(), struct.pack('QQQ', os.O_CREAT | os.O_WRONLY, M, 0), 24))",
    "mknod": "os.mknod(F, stat.S_IFREG | M)",
    "old_mknod": "call('mknod', F.encode(), stat.S_IFREG | M, 0)",
    "install": "subprocess.run(['install', '-m', oct(M)[2:], '/bin/true', F], check=True, capture_output=True)",
    "a_directory": "os.mkdir(F); os.chmod(F, M)",
}

_OTHER_ERRORS = "ENOSYS CalledProcessError FileNotFoundError"


def _setuid():
    for way, code in SETUID_WAYS.items():
        # What a file's mode is, the outside checks as well.
        source = f"""
def attempt_it(M):
    F = ROOM + '/privileged'
    os.umask(0)
    {code}
    return found(os.stat(F).st_mode & 0o6000)
word = ' '.join(forked(attempt_it, mode) + ' ' + attempt(lambda: removed(ROOM + '/privileged')).replace('did', '')
                for mode in (0o4755, 0o2755, 0o6755))
word"""
        yield cell("makes_a_setuid_file_by_" + way, source, words=f"nothing ENOENT {REFUSED} {_OTHER_ERRORS}",
                   bare="found ENOENT ENOSYS")


SETUID = [
    *_setuid(),
    cell("keeps_the_bits_of_a_setuid_program_that_it_copies", """
import tarfile, io
def unpack():
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode='w') as tar:
        member = tarfile.TarInfo('privileged')
        member.mode = 0o4755
        tar.addfile(member)
    made.seek(0)
    with tarfile.open(fileobj=made) as tar:
        tar.extractall(ROOM)
    return found(os.stat(ROOM + '/privileged').st_mode & 0o6000)
def copy():
    subprocess.run(['cp', '-a', '/usr/bin/su', ROOM + '/copied'], capture_output=True)
    return found(os.stat(ROOM + '/copied').st_mode & 0o6000)
word = attempts(unpack, copy)
for name in os.listdir(ROOM):
    removed(ROOM + '/' + name)
word""", words="nothing EPERM ExtractError ENOENT", bare="found"),
    cell("gives_a_program_capabilities", """
def give():
    Path(ROOM, 'capable').touch()
    os.setxattr(ROOM + '/capable', 'security.capability', struct.pack('<5I', 0x02000001, 1 << 21, 0, 0, 0))
word = attempt(give)
removed(ROOM + '/capable')
word""", words="EPERM"),
    cell("gives_a_program_of_the_system_bits", "attempts(lambda: os.chmod('/usr/bin/env', 0o4755))",
         L1="EPERM EROFS", L3="EPERM did", bare=NotRun("it would change the host's")),
]

CELLS = [*SECRETS, *SYSTEM, *WORKSPACE, *SETUID]
