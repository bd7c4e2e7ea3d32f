"""Networks: of the host, of the outside, and sockets that are files."""

from .table import DID, NotRun, cell

OUTSIDE = NotRun("it would leave this machine")
OWN = {"L1": "ECONNREFUSED", "L3": "EAFNOSUPPORT"}
NOWHERE = {"L1": "ENETUNREACH EHOSTUNREACH EADDRNOTAVAIL", "L3": "EAFNOSUPPORT"}


# Asks for the way, and takes it only where there is none: should a sandbox fail, nothing must leave this machine.
FAR = """
def a_way():
    socket.socket().close()
    return {name for _, name in socket.if_nameindex()} - {'lo'}
def far(address, kind=socket.SOCK_STREAM):
    if a_way():
        return 'a way out'
    connect(socket.AF_INET6 if ':' in address[0] else socket.AF_INET, address, kind)
"""


def _family(name, number, kinds="1, 2, 3, 5"):
    return cell(f"makes_a_socket_of_{name}",
                f"attempts(*[lambda kind=kind: socket.socket({number}, kind).close() for kind in ({kinds})])",
                words="EAFNOSUPPORT EPERM",
                bare="did EAFNOSUPPORT EPERM EPROTONOSUPPORT ESOCKTNOSUPPORT EINVAL EACCES ENODEV")


CELLS = [
    cell("reaches_a_service_of_the_host", "attempt(connect, socket.AF_INET, ('127.0.0.1', TCP_PORT))", **OWN),
    cell("reaches_a_service_of_the_host_by_other_addresses", """
attempts(*[lambda address=address: connect(socket.AF_INET, (address, TCP_PORT))
           for address in ('0.0.0.0', '127.0.0.2', '127.1', 'localhost')],
         lambda: connect(socket.AF_INET6, ('::ffff:127.0.0.1', TCP_PORT)),
         lambda: connect(socket.AF_INET6, ('::1', TCP6_PORT)))""",
         L1="ECONNREFUSED EADDRNOTAVAIL ENETUNREACH", L3="EAFNOSUPPORT gaierror", bare="did EADDRNOTAVAIL EAFNOSUPPORT "
         "ECONNREFUSED ENETUNREACH"),
    cell("reaches_the_kernels_own_ports", """
attempts(*[lambda port=port: connect(socket.AF_INET, ('127.0.0.1', port)) for port in KERNEL_PORTS])""", **OWN),
    # It goes nowhere, which nobody is told; that nothing arrives is checked outside.
    cell("sends_datagrams_to_the_host", """
attempts(lambda: connect(socket.AF_INET, ('127.0.0.1', UDP_PORT), socket.SOCK_DGRAM))""",
         L1="did ECONNREFUSED", L3="EAFNOSUPPORT"),
    cell("reaches_an_abstract_socket_of_the_host", "attempt(connect, socket.AF_UNIX, '\\0' + ABSTRACT)", **OWN),
    cell("reaches_a_socket_in_the_home", "attempt(connect, socket.AF_UNIX, HOME_SOCKET)",
         L1="ENOENT", L3="EAFNOSUPPORT"),
    cell("reaches_the_sockets_of_well_known_services", """
places = ['/run/docker.sock', '/var/run/docker.sock', '/run/dbus/system_bus_socket', '/run/systemd/private',
          '/tmp/.X11-unix/X0', f'/run/user/{os.getuid()}/bus', '/run/containerd/containerd.sock']
attempts(*[lambda place=place: connect(socket.AF_UNIX, place) for place in places])""",
         L1="ENOENT ECONNREFUSED EACCES", L3="EAFNOSUPPORT", bare=NotRun("the services are not the test's")),
    cell("reaches_the_internet", FAR + """
attempts(lambda: far(('192.0.2.1', 443)), lambda: far(('2001:db8::1', 443)))
""", bare=OUTSIDE, **NOWHERE),
    cell("reaches_the_metadata_of_a_cloud", FAR + "attempt(far, ('169.254.169.254', 80))", bare=OUTSIDE, **NOWHERE),
    cell("asks_a_name_server", FAR + """
attempts(lambda: far(('192.0.2.53', 53), socket.SOCK_DGRAM), lambda: a_way() or socket.getaddrinfo('capsule.invalid', 80))""",
         L1="gaierror ENETUNREACH", L3="gaierror EAFNOSUPPORT", bare=OUTSIDE),
    cell("sees_the_interfaces_of_the_host", """
def others():
    return found({name for _, name in socket.if_nameindex()} - {'lo'})
attempt(others)""", L1="nothing", L3="EAFNOSUPPORT OSError", bare="found nothing"),
    cell("makes_raw_sockets", """
attempts(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
         lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58).close())""", L1="EPERM", L3="EAFNOSUPPORT",
         bare="did EAFNOSUPPORT"),
    cell("makes_raw_pairs_and_accepts_for_others", """
attempts(*[lambda family=family: socket.socketpair(family) for family in (socket.AF_INET, 40, 16)])""",
         words="EAFNOSUPPORT", bare="did EOPNOTSUPP ENOTSUP ESOCKTNOSUPPORT EAFNOSUPPORT"),
    _family("packets", 17),
    _family("the_hypervisor", 40),
    _family("ciphers", 38, "5,"),
    _family("bluetooth", 31),
    _family("can_buses", 29),
    _family("xdp", 44),
    _family("tipc", 30),
    _family("rds", 21),
    _family("smc", 43),
    cell("changes_the_network_through_netlink", """
def change():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as made:
        made.bind((0, 0))
        # RTM_NEWLINK with NLM_F_REQUEST and NLM_F_ACK, of no interface.
        body = struct.pack('<BxHiII', 0, 0, 0x7fffffff, 0, 0xffffffff)
        made.send(struct.pack('<IHHII', 16 + len(body), 16, 5, 1, 0) + body)
        number = -struct.unpack('<i', made.recv(4096)[16:20])[0]
        raise OSError(number, '')
attempt(change)""", L1="EPERM", L3="EAFNOSUPPORT", bare="ENODEV EPERM EINVAL EOPNOTSUPP"),
    cell("listens_where_the_host_could_come", """
keep = None
def listen():
    global keep
    keep = socket.socket()
    keep.bind(('127.0.0.1', OFFERED_PORT))
    keep.listen()
attempt(listen)""", L1=DID, L3="EAFNOSUPPORT", bare=DID, after=lambda test: test.assert_nobody_listens()),
    cell("makes_a_socket_in_the_workspace", """
def listen():
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(ROOM + '/s')
    removed(ROOM + '/s')
attempt(listen)""", L1=DID, L3="EAFNOSUPPORT"),
]
