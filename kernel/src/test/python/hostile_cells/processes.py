"""Other processes, and what they share with the worker; and workers that do not want to end."""

from .table import DID, NotRun, cell

ELSEWHERE = {"L1": "ESRCH", "L3": "EPERM"}

# In namespaces a number may happen to be one of the worker's own processes: its supervisor, or a snapshot. What these
# signals are for is harmless to them.
BY_NUMBER = {"L1": "did ESRCH", "L3": "EPERM"}

KILLS = NotRun("it would end what the other cells need")


SIGNALS = [
    cell("may_signal_the_kernel", "attempt(os.kill, KERNEL, signal.SIGCONT)", **BY_NUMBER),
    cell("may_signal_a_process_of_the_same_user", "attempt(os.kill, VICTIM, signal.SIGCONT)", **BY_NUMBER),
    cell("may_signal_the_launcher_of_the_kernel", "attempt(os.kill, LAUNCHER, signal.SIGCONT)", **BY_NUMBER),
    cell("kills_the_kernel", """
attempts(*[lambda number=number: os.kill(KERNEL, number)
           for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGQUIT, signal.SIGSEGV, signal.SIGKILL)])""",
         bare=KILLS, **ELSEWHERE),
    cell("kills_the_process_group_of_the_kernel", "attempt(os.killpg, KERNEL, signal.SIGKILL)", bare=KILLS, **ELSEWHERE),
    cell("kills_a_process_of_the_same_user", "attempt(os.kill, VICTIM, signal.SIGKILL)", bare=KILLS, **ELSEWHERE),
    # Its parent is its own supervisor; in a namespace that is the first process, for which there are no such signals.
    cell("kills_its_parent_and_the_first_process", """
attempts(*[lambda pid=pid: os.kill(pid, signal.SIGKILL) for pid in {1, os.getppid()}])""", L1=DID, L3="EPERM",
         bare=KILLS),
    cell("signals_by_other_calls", """
info = struct.pack('<iii', 18, 0, -1) + bytes(116)
attempts(lambda: call('tkill', KERNEL, 18), lambda: call('tgkill', KERNEL, KERNEL, 18),
         lambda: call('rt_sigqueueinfo', KERNEL, 18, info), lambda: call('rt_tgsigqueueinfo', KERNEL, KERNEL, 18, info))
""", **BY_NUMBER),
    cell("signals_by_a_descriptor", """
def through():
    made = os.pidfd_open(KERNEL)
    try:
        signal.pidfd_send_signal(made, signal.SIGCONT)
    finally:
        os.close(made)
attempt(through)""", L1="ESRCH EINVAL", L3="EPERM"),
    # The system sends the signal when the pipe is written to; what Landlock forbids is only seen by the victim.
    cell("has_the_system_kill_for_it", """
def arrange():
    ours, theirs = os.pipe()
    fcntl.fcntl(ours, fcntl.F_SETOWN, VICTIM)
    fcntl.fcntl(ours, 10, signal.SIGKILL)
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(theirs, b'x')
    os.close(ours), os.close(theirs)
attempt(arrange)""", words="did ESRCH EPERM", bare=KILLS),
    cell("kills_all_that_it_can", "attempt(os.kill, -1, signal.SIGTERM)", words="EPERM", bare=KILLS),
    cell("sees_other_processes", """
found([pid for pid in (KERNEL, VICTIM, LAUNCHER) if attempt(os.kill, pid, 0) == 'did'])""", words="nothing",
         bare="found"),
    cell("sees_groups_and_sessions_of_others", "attempts(lambda: os.getsid(KERNEL), lambda: os.getpgid(VICTIM))",
         L1="ESRCH", L3=DID),
]

REACHES = [
    cell("attaches_to_another_process", """
attempts(*[lambda pid=pid: forked(call, 'ptrace', 0x4206, pid, 0, 0) for pid in (VICTIM, KERNEL)])""", words="EPERM"),
    cell("attaches_to_its_launcher", "attempts(*[lambda pid=pid: forked(call, 'ptrace', 0x4206, pid, 0, 0) "
         "for pid in {1, os.getppid()}])", words="EPERM", bare=NotRun("process 1 is not the test's")),
    cell("reads_the_memory_of_another_process", """
buffer = ctypes.create_string_buffer(8)
local = struct.pack('QQ', ctypes.addressof(buffer), 8)
attempts(*[lambda name=name: call(name, VICTIM, local, 1, struct.pack('QQ', 8, 8), 1, 0)
           for name in ('process_vm_readv', 'process_vm_writev')])""", words="EPERM", bare="EFAULT"),
    cell("takes_a_descriptor_of_another_process", """
def take():
    made = os.pidfd_open(VICTIM)
    try:
        call('pidfd_getfd', made, 0, 0)
    finally:
        os.close(made)
attempt(take)""", L1="ESRCH EPERM EINVAL", L3="EPERM"),
    cell("compares_and_advises_other_processes", """
attempts(lambda: call('kcmp', VICTIM, VICTIM, 0, 0, 0), lambda: call('process_madvise', -1, None, 0, 0, 0),
         lambda: call('move_pages', VICTIM, 0, None, None, None, 0), lambda: call('migrate_pages', VICTIM, 0, None, None))
""", words="EPERM", bare="did EBADF EINVAL ENODEV ENOSYS"),
    cell("slows_the_kernel_down", """
attempts(lambda: os.setpriority(os.PRIO_PROCESS, KERNEL, 19), lambda: os.setpriority(os.PRIO_PGRP, KERNEL, 19),
         lambda: call('ioprio_set', 1, KERNEL, 3 << 13),
         lambda: os.sched_setscheduler(KERNEL, os.SCHED_IDLE, os.sched_param(0)),
         lambda: os.sched_setaffinity(KERNEL, {0}),
         lambda: call('sched_setattr', KERNEL, struct.pack('<IIQiIQQQ', 48, 5, 0, 0, 0, 0, 0, 0), 0))""",
         bare=NotRun("what it changes cannot be undone by the user"), **ELSEWHERE),
    cell("slows_another_process_down", """
attempts(lambda: os.setpriority(os.PRIO_PROCESS, VICTIM, os.getpriority(os.PRIO_PROCESS, VICTIM)),
         lambda: call('ioprio_set', 1, VICTIM, call('ioprio_get', 1, VICTIM)),
         lambda: os.sched_setscheduler(VICTIM, os.SCHED_OTHER, os.sched_param(0)),
         lambda: os.sched_setaffinity(VICTIM, os.sched_getaffinity(VICTIM)))""", **ELSEWHERE),
    cell("slows_all_processes_of_its_user_down", """
attempts(lambda: os.setpriority(os.PRIO_USER, 0, 19), lambda: call('ioprio_set', 3, 0, 3 << 13))""",
         L1="did ESRCH", L3="EPERM", bare=NotRun("it would slow down all that the user has")),
    cell("limits_the_kernel", """
import resource
attempts(lambda: resource.prlimit(KERNEL, resource.RLIMIT_NOFILE, (64, 64)),
         lambda: resource.prlimit(VICTIM, resource.RLIMIT_NOFILE, (64, 64)),
         lambda: resource.prlimit(KERNEL, resource.RLIMIT_NOFILE))""",
         L1="ESRCH ProcessLookupError", L3="EPERM", bare=NotRun("limits of a process cannot be raised again")),
    cell("is_killed_before_others_when_memory_is_short", """
def lower():
    Path('/proc/self/oom_score_adj').write_text('-1000')
attempt(lower)""", L1="EROFS EACCES", L3="EACCES", bare="did EACCES"),
    cell("finds_shared_memory_of_system_v", """
attempts(lambda: call('shmget', SHM_KEY, 0, 0), lambda: call('shmat', SHM_ID, 0, 0o10000),
         lambda: call('shmctl', SHM_ID, 0x4000 | 13, ctypes.create_string_buffer(200)))""",
         L1="ENOENT EINVAL", L3="EPERM", bare="did EINVAL"),
    cell("finds_semaphores_and_queues_of_system_v", """
attempts(lambda: call('semget', SHM_KEY, 0, 0), lambda: call('msgget', SHM_KEY, 0))""", L1="ENOENT", L3="EPERM",
         bare="ENOENT"),
    cell("finds_message_queues_of_others", "attempt(call, 'mq_open', b'capsule-hostile-%d' % LAUNCHER, 0, 0, None)",
         L1="ENOENT", L3="EPERM"),
    # The tier's description says so of L3.
    cell("finds_shared_memory_of_others_by_its_name", "attempt(opened, SHM_FILE)", L1="ENOENT", L3=DID),
    cell("lists_shared_memory_of_others", "attempt(lambda: found(Path(SHM_FILE).name in os.listdir('/dev/shm')))",
         L1="nothing", L3="EACCES", bare="found"),
]

ENDS = [
    cell("dies_of_a_segmentation_fault", "import ctypes\nctypes.string_at(0)", words="died SIGSEGV", bare="died SIGSEGV"),
    cell("aborts", "os.abort()", words="died SIGABRT", bare="died SIGABRT"),
    cell("exits", "os._exit(3)", words="died 3", bare="died 3"),
    cell("kills_itself", "os.kill(os.getpid(), signal.SIGKILL)", words="died SIGKILL", bare="died SIGKILL"),
    cell("closes_its_standard_descriptors", "os.close(0), os.close(1), os.close(2)\n'closed'", words="closed",
         bare="closed", spoils=True),
    cell("closes_every_descriptor", "os.closerange(0, 4096)", words="died violation 1 SIGKILL",
         bare="died violation 1 SIGKILL"),
    cell("nests_without_end", "def deeper(): deeper()\nattempt(deeper)", words="RecursionError", bare="RecursionError"),
    cell("overflows_the_stack_of_the_compiler", "attempt(compile, '-' * 1_000_000 + '1', '', 'eval')",
         words="RecursionError MemoryError SyntaxError died SIGSEGV", bare="RecursionError MemoryError SyntaxError died "
         "SIGSEGV"),
    cell("opens_files_without_end", """
def every():
    files = []
    while len(files) < 5_000:
        files.append(open('/dev/null'))
attempt(every)""", words="EMFILE", bare="did EMFILE"),
    cell("asks_for_more_memory_than_there_is", "attempt(bytearray, 3 << 30)", words="MemoryError"),
    cell("forks_without_end", """
def every():
    children = []
    ours, theirs = os.pipe()
    try:
        for _ in range(1_000):
            child = os.fork()
            if not child:
                os.close(theirs)
                os.read(ours, 1)
                os._exit(0)
            children.append(child)
    finally:
        os.close(theirs)
        for child in children:
            os.waitpid(child, 0)
        os.close(ours)
attempt(every)""", words="EAGAIN", bare=NotRun("nothing would stop it")),
    cell("starts_threads_without_end", """
import threading
def every():
    done = threading.Event()
    threads = []
    try:
        for _ in range(1_000):
            threads.append(threading.Thread(target=done.wait))
            threads[-1].start()
    finally:
        done.set()
attempt(every)""", words="RuntimeError", bare=NotRun("nothing would stop it")),
    cell("leaves_a_daemon_behind_and_dies", """
def name_it():
    import ctypes
    ctypes.CDLL(None).prctl(15, b'hostile-left', 0, 0, 0)
for _ in range(3):
    if not os.fork():
        os.setsid()
        if not os.fork():
            name_it()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.pause()
        os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)""", words="died SIGKILL", bare="died SIGKILL",
         after=lambda test: test.assert_no_daemon()),
    cell("leaves_a_daemon_behind_and_lives", """
for _ in range(3):
    if not os.fork():
        os.setsid()
        if not os.fork():
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
            while True:
                signal.pause()
        os._exit(0)
'up'""", words="up", bare=NotRun("without a sandbox, it outlives a kernel that is killed")),
]

# None of them ends by itself, and none by KeyboardInterrupt; each says first that it is on its way.
STUBBORN = [
    cell("ignores_every_signal", """
for number in range(1, 65):
    if number not in (9, 19, 32, 33):
        signal.signal(number, signal.SIG_IGN)
print('now', flush=True)
while True:
    try:
        time.sleep(1000)
    except BaseException:
        pass""", words="killed", bare="killed"),
    # C code says that it is on its way: the interrupt could come between a `print` and the C code, and end the cell.
    cell("holds_the_lock_of_the_interpreter", """
import collections, itertools
collections.deque(itertools.chain(map(os.write, [1], [b'now\\n']), itertools.repeat(0)), maxlen=0)""",
         words="killed", bare="killed"),
    cell("stops_itself", """
signal.signal(signal.SIGINT, signal.SIG_IGN)
print('now', flush=True)
while True:
    os.kill(os.getpid(), signal.SIGSTOP)""", words="killed", bare="killed"),
    cell("sends_half_a_frame_and_waits", """
forge_bytes((1000).to_bytes(4, 'big') + (900).to_bytes(4, 'big') + b'{"resolve"')
print('now', flush=True)
'sent'""", words="killed violation", bare="killed violation"),
]

CELLS = [*SIGNALS, *REACHES, *ENDS]
