"""System calls, by their names and behind the back of the filter."""

from .table import cell


def _call(name, arguments, bare, words="EPERM"):
    return cell("calls_" + name, f"forked(lambda: call({name!r}, {arguments}))", words=words, bare=bare)


# What the bare words are is often an error of the call itself: it got further than the filter.
CELLS = [
    _call("unshare", "0x10000000", "did"),
    cell("calls_clone", """
def clone():
    if call('clone', 0x10000000 | 17, 0, 0, 0, 0) == 0:
        os._exit(0)
forked(clone)""", words="EPERM"),
    _call("clone3", "None, 0", "EINVAL", words="ENOSYS"),
    _call("setns", "-1, 0", "EBADF"),
    _call("mount", "None, b'/nonexistent', None, 0, None", "ENOENT"),
    _call("umount2", "b'/nonexistent', 0", "ENOENT"),
    _call("pivot_root", "b'/nonexistent', b'/nonexistent'", "ENOENT"),
    _call("chroot", "b'.'", "did"),
    _call("fsopen", "b'tmpfs', 0", "did"),
    _call("fsconfig", "-1, 0, None, None, 0", "EBADF EINVAL"),
    _call("fsmount", "-1, 0, 0", "EBADF"),
    _call("fspick", "-100, b'/nonexistent', 0", "ENOENT"),
    _call("open_tree", "-100, b'.', 1", "did"),
    _call("move_mount", "-1, b'', -1, b'', 4", "EBADF ENOENT"),
    _call("mount_setattr", "-1, b'', 0x1000, bytes(32), 32", "EBADF did"),
    _call("statmount", "None, None, 0, 0", "EFAULT EINVAL ENOSYS"),
    _call("listmount", "None, None, 0, 0", "EFAULT EINVAL ENOSYS"),
    _call("keyctl", "0, -3, 1", "did ENOKEY"),
    _call("add_key", "b'user', b'capsule-hostile', b'x', 1, -1", "did"),
    _call("request_key", "b'user', b'capsule-hostile-none', None, 0", "ENOKEY"),
    _call("bpf", "0, None, 0", "EINVAL EFAULT"),
    _call("perf_event_open", "None, 0, -1, -1, 0", "EFAULT"),
    _call("userfaultfd", "0", "did"),
    _call("io_uring_setup", "1, ctypes.create_string_buffer(120)", "did EPERM ENOSYS"),
    _call("io_uring_enter", "-1, 0, 0, 0, None, 0", "EBADF EPERM ENOSYS"),
    _call("io_uring_register", "-1, 0, None, 0", "EBADF EPERM ENOSYS EINVAL"),
    _call("vmsplice", "-1, None, 0, 0", "EBADF"),
    _call("memfd_secret", "0", "did ENOSYS"),
    _call("kexec_load", "0, 99, None, 0", "EINVAL EPERM ENOSYS EADDRNOTAVAIL"),
    _call("init_module", "None, 0, b''", "ENOEXEC EFAULT EPERM ENOSYS"),
    _call("finit_module", "-1, b'', 0", "EBADF EPERM ENOSYS"),
    _call("delete_module", "b'no_such_module', 0", "ENOENT EPERM ENOSYS"),
    _call("reboot", "0, 0, 0, None", "EINVAL"),
    _call("swapon", "b'/nonexistent', 0", "ENOENT"),
    _call("acct", "b'/nonexistent'", "ENOENT ENOSYS"),
    _call("quotactl", "0, None, 0, None", "EINVAL ENODEV ENOENT ENOTBLK ESRCH EFAULT ENOSYS"),
    _call("personality", "0x0040000", "did"),
    _call("open_by_handle_at", "-1, bytes(8), 0", "EBADF EINVAL"),
    _call("name_to_handle_at", "-100, b'.', bytes(8), bytes(4), 0", "EOVERFLOW EOPNOTSUPP"),
    _call("mbind", "None, 0, 0, None, 0, 0", "did EINVAL ENOSYS"),
    _call("set_mempolicy", "0, None, 0", "did ENOSYS"),
    _call("ptrace", "0, 0, 0, 0", "did"),
    _call("adjtimex", "None", "EFAULT"),
    _call("openat2", "-100, b'.', bytes(24), 24", "did", words="ENOSYS"),
    _call("open_tree_attr", "-100, b'.', 1, None, 0", "did ENOSYS EINVAL"),
    cell("calls_what_only_x86_has", """
def each(name, *arguments):
    if FACTS['calls'][name] < 0:
        raise PermissionError(1, 'not of this architecture')
    call(name, *arguments)
attempts(lambda: forked(each, 'iopl', 0), lambda: forked(each, 'ioperm', 0, 1, 0), lambda: forked(each, 'modify_ldt', 0, None, 0))
""", words="EPERM", bare="did EINVAL ENOSYS EPERM"),
    cell("calls_by_numbers_that_nobody_knows", """
attempts(*[lambda number=number: forked(lambda: call_number(number)) for number in (500, 1000, 0x3fffffff)])
""".replace("attempts", """
def call_number(number):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(number), 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), '')
attempts""", 1), words="ENOSYS", bare="ENOSYS"),
    cell("calls_by_the_numbers_of_x32", """
def other():
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(0x40000000 + 39)) < 0:
        raise OSError(ctypes.get_errno(), '')
forked(other)""", words="SIGSYS", bare="ENOSYS did"),
    # SIGSEGV: of a system that has no such way in.
    cell("calls_in_the_way_of_32_bits", """
import ctypes, mmap, platform
def other():
    if platform.machine() != 'x86_64':
        os.kill(os.getpid(), signal.SIGSYS)
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3')
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
forked(other)""", words="SIGSYS SIGSEGV", bare="did SIGSEGV"),
    cell("makes_a_namespace_by_a_program", """
def run():
    done = subprocess.run(['unshare', '--user', '--map-root-user', 'true'], capture_output=True)
    return 'did' if done.returncode == 0 else 'refused'
attempt(run)""", words="refused", bare="did refused"),
    cell("takes_its_root_elsewhere", "attempts(lambda: forked(os.chroot, ROOM), lambda: forked(os.chroot, '/'))",
         words="EPERM"),
    cell("hides_from_accounts_of_the_system", "attempt(lambda: forked(call, 'swapoff', b'/nonexistent'))", words="EPERM",
         bare="ENOENT EINVAL"),
]
