"""Who the worker is: its environment, its user, its rights, and what it sees of others'."""

from .table import cell

CELLS = [
    cell("reads_the_launching_environment_in_its_own", "print(dict(os.environ)); found(TOKEN_NAME in os.environ)",
         words="nothing", bare="found"),
    cell("reads_the_environment_of_every_process", """
def search():
    hits = 0
    for pid in processes():
        try:
            text = Path(f'/proc/{pid}/environ').read_bytes()
        except OSError:
            continue
        if (TOKEN_NAME + '=').encode() in text:
            hits += 1
            print(text)
    return found(hits)
attempt(search)""", L1="nothing", L3="EACCES", bare="found"),
    # The tier's description says so of L2.
    cell("reads_the_arguments_of_the_kernel", """
def arguments(pid):
    try:
        return Path(f'/proc/{pid}/cmdline').read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b''  # A snapshot that has ended since it was listed.
attempt(lambda: found(any(b'capsule.jar' in arguments(pid) for pid in processes())))""", L1="nothing", L2="found", L3="EACCES", bare="found"),
    cell("reads_the_arguments_of_its_launcher", """
def search():
    texts = [Path(f'/proc/{pid}/cmdline').read_bytes() for pid in (1, os.getppid(), os.getpid())]
    print(texts)
    return found(any(HOME.encode() in text for text in texts))
attempt(search)""", words="nothing EACCES ENOENT", bare="nothing found"),
    *[
        cell(f"reads_{name.replace('/', '_')}_of_the_kernel", f"attempt({how}, f'/proc/{{KERNEL}}/{name}')",
             L1="ENOENT", L2="EACCES EPERM EROFS", L3="EACCES EPERM", bare="did EIO")
        for name, how in (("environ", "show"), ("maps", "show"), ("auxv", "show"), ("mem", "opened"), ("io", "show"),
                          ("stack", "show"), ("syscall", "show"), ("exe", "opened"), ("cwd", "os.listdir"),
                          ("root", "os.listdir"), ("fd/1", "os.stat"), ("map_files", "os.listdir"),
                          ("ns/mnt", "opened"), ("clear_refs", "writable"))
    ],
    cell("writes_the_memory_of_its_launcher", """
attempts(lambda: opened(f'/proc/{os.getppid()}/mem', os.O_RDWR), lambda: opened('/proc/1/mem', os.O_RDWR))""",
         bare="did EACCES EPERM"),
    cell("overwrites_the_program_of_its_launcher", """
attempts(lambda: opened(f'/proc/{os.getppid()}/exe', os.O_RDWR), lambda: opened('/proc/1/exe', os.O_RDWR))""",
         L1="EROFS EACCES EPERM ENOENT ETXTBSY", L3="EACCES EPERM ETXTBSY", bare="ETXTBSY EACCES EPERM did"),
    cell("becomes_root", """
attempts(*[lambda change=change: forked(change, 0) for change in (os.setuid, os.setgid, os.seteuid, os.setegid)],
         lambda: forked(os.setresuid, 0, 0, 0), lambda: forked(os.setgroups, [0]))""", words="EPERM EINVAL"),
    cell("becomes_another_user", "attempts(lambda: forked(os.setuid, 1), lambda: forked(os.setreuid, 65534, 65534))",
         words="EPERM EINVAL"),
    cell("runs_setuid_programs_of_the_system", """
def su():
    done = subprocess.run(['/usr/bin/su', '-c', 'id -u', 'root'], capture_output=True, stdin=subprocess.DEVNULL)
    return 'root' if done.stdout.strip() == b'0' else 'refused'
attempt(su)""", words="refused EACCES ENOENT PermissionError", bare="root refused"),
    cell("gains_from_privileges_that_programs_have", """
import ctypes
'locked' if ctypes.CDLL(None).prctl(39, 0, 0, 0, 0) == 1 else 'open'""", words="locked", bare="open"),
    cell("has_capabilities", """
header, data = struct.pack('<Ii', 0x20080522, 0), ctypes.create_string_buffer(24)
call('capget', header, data)
effective = struct.unpack('<6I', data.raw)
# At L3, root's workers read past the modes of files, within Landlock's list and nowhere else: 1 << 1.
found((effective[0] | effective[3]) & ~ALLOWED_CAPABILITIES)""", words="nothing", bare="found nothing"),
    cell("raises_a_capability", """
import ctypes
def ambient():
    if ctypes.CDLL(None, use_errno=True).prctl(47, 2, 21, 0, 0):
        raise PermissionError(1, 'refused')
def everything():
    call('capset', struct.pack('<Ii', 0x20080522, 0), struct.pack('<6I', *[0xffffffff, 0xffffffff, 0] * 2))
attempts(lambda: forked(ambient), lambda: forked(everything))""", words="EPERM", bare="did EPERM"),
    cell("switches_off_its_filter", """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def switch_off():
    if libc.prctl(22, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), '')
def leave_privileges_open():
    if libc.prctl(38, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), '')
attempts(switch_off, leave_privileges_open)""", words="EINVAL", bare="EINVAL"),
    cell("raises_its_limits", """
import resource
def raise_it(which):
    soft, hard = resource.getrlimit(which)
    if hard == resource.RLIM_INFINITY:
        raise OSError(22, 'unlimited')
    resource.setrlimit(which, (hard + 1, hard + 1))
attempts(*[lambda which=which: forked(raise_it, which)
           for which in (resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_DATA,
                         resource.RLIMIT_CORE)])""", words="ValueError EPERM", bare="did EINVAL ValueError"),
    cell("takes_precedence_over_others", """
attempts(lambda: forked(os.nice, -5), lambda: forked(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1)),
         lambda: forked(call, 'ioprio_set', 1, 0, 1 << 13))""", words="EPERM"),
    cell("sets_the_name_of_the_machine_and_its_clock", """
attempts(lambda: forked(call, 'sethostname', b'x', -1), lambda: forked(call, 'setdomainname', b'x', -1),
         lambda: forked(call, 'clock_settime', 99, None), lambda: forked(call, 'settimeofday', None, None))""",
         words="EPERM", bare="EINVAL did"),
    cell("reads_the_log_and_symbols_of_the_system", """
def symbols():
    line = Path('/proc/kallsyms').read_text().split('\\n', 1)[0]
    return found(not line.startswith('0000000000000000'))
attempts(lambda: call('syslog', 10, None, 0), symbols, lambda: opened('/dev/kmsg'), lambda: opened('/proc/kmsg'))""",
         words="EPERM EACCES ENOENT nothing", bare="did found nothing EPERM ENOENT"),
    cell("opens_the_terminal", "attempts(lambda: opened('/dev/tty'), lambda: opened('/dev/console'))",
         words="ENXIO ENOENT EACCES", bare="ENXIO did ENOENT EIO"),
    cell("types_into_a_terminal", """
import pty
def inject():
    os.setsid()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, 0x540E, 0)
    fcntl.ioctl(theirs, 0x5412, b'x')
forked(inject)""", words="EPERM EACCES OSError ENOENT", bare="did EIO"),
]
