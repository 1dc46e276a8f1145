"""Addresses that a webhook must never reach, in the ways in which others were led to them."""

from __future__ import annotations

from typing import Final

SCHEMES: Final = (
    "", " ", "/", "//", "//acme.test/", "///etc/passwd", "acme.test", "acme.test:443/hook",
    "http://acme.test/", "HTTP://acme.test/", "ws://acme.test/", "wss://acme.test/",
    "ftp://acme.test/", "file:///etc/passwd", "file://acme.test/etc/passwd", "gopher://acme.test/",
    "dict://127.0.0.1:6379/info", "ldap://127.0.0.1/", "data:text/plain,hello",
    "javascript:alert(1)", "unix:///var/run/docker.sock", "jar:https://acme.test!/", "tftp://a.test",
    "https+http://acme.test/", "https:acme.test", "https:/acme.test/", "https//acme.test/",
    "\thttp://acme.test/", "url:https://acme.test/", "view-source:https://acme.test/",
)  # fmt: skip
USERS: Final = (
    "https://acme.test@127.0.0.1/", "https://acme.test:443@10.0.0.1/", "https://@127.0.0.1/",
    "https://:@127.0.0.1/", "https://me:pass@acme.test/", "https://me@acme.test/",
    "https://acme.test%40127.0.0.1/",
    "https://127.0.0.1#@acme.test/", "https://127.0.0.1?@acme.test/",
    "https://acme.test:pass@[::1]/", "https://acme.test&@127.0.0.1#@acme.test/",
    "https://a@b@127.0.0.1/", "https://acme.test;@127.0.0.1/", "https://127.0.0.1;@acme.test/",
    "https://acme.test%00@127.0.0.1/", "https://[::1]@acme.test/",
)  # fmt: skip
SLASHES: Final = (
    "https:\\\\127.0.0.1\\", "https://127.0.0.1\\acme.test/", "https://127.0.0.1\\@acme.test/",
    "https://acme.test\\@127.0.0.1/", "https://acme.test\\.127.0.0.1/", "https:/\\127.0.0.1/",
    "https:\\/127.0.0.1/", "https://\\127.0.0.1/", "https://127.0.0.1\\:443\\@acme.test:80/",
    "https://acme.test\\\\127.0.0.1/", "https://acme.test/\\127.0.0.1", "https:///127.0.0.1/",
    "https:////127.0.0.1/", "https://acme.test:443\\@127.0.0.1/", "https://\\\\acme.test/",
    "https://127.0.0.1%5c@acme.test/",
)  # fmt: skip
CONTROLS: Final = (
    "https://acme.test /", "https:// acme.test/", " https://acme.test/", "https://acme.test/ ",
    "https://acme.test/\r\nX-Injected: yes", "https://acme.test/%0d\n", "https://ac\tme.test/",
    "https://ac\nme.test/", "https://127.0.\t0.1/", "ht\ntps://127.0.0.1/", "https://acme.test/\0",
    "https://127.0.0.1\0.acme.test/", "https://acme.test\0@127.0.0.1/", "https://acme.test/\x7f",
    "https://acme.test\x0b/", "https://acme.test/\x1b[2J", "\x00https://acme.test/",
    "https://127.0.0.1\r.acme.test/", "https://127.0.0.1\x20.acme.test/", "https://acme.test/a\x85b",
    "https://127.0.0.1%00.acme.test/", "https://127.0.0.1%0a.acme.test/",
)  # fmt: skip
INNER: Final = (
    "https://127.0.0.1/", "https://127.0.0.1:8000/", "https://127.1.2.3/", "https://0.0.0.0/",
    "https://0.0.0.1/", "https://10.0.0.1/", "https://10.255.255.255/", "https://172.16.0.1/",
    "https://172.31.255.254/", "https://192.168.0.1/", "https://192.168.255.255/",
    "https://169.254.169.254/latest/meta-data/", "https://169.254.170.2/v2/credentials",
    "https://100.64.0.1/", "https://100.100.100.200/latest/meta-data/", "https://168.63.129.16/",
    "https://192.0.0.192/opc/v2/", "https://192.88.99.1/", "https://192.0.2.1/", "https://198.18.0.1/",
    "https://198.51.100.7/", "https://203.0.113.9/", "https://224.0.0.1/", "https://239.255.255.250/",
    "https://240.0.0.1/", "https://255.255.255.255/", "https://127.0.0.1?acme.test",
    "https://127.0.0.1#acme.test", "https://10.0.0.1:443/acme.test",
)  # fmt: skip
NUMBERS: Final = (
    "https://2130706433/", "https://017700000001/", "https://0x7f000001/", "https://0x7F000001/",
    "https://0x7f.0x0.0x0.0x1/", "https://0x7f.0.0.1/", "https://0177.0.0.1/",
    "https://0177.0000.0000.0001/", "https://00000177.0.0.1/", "https://127.1/", "https://127.0.1/",
    "https://127.0.0.01/", "https://127.000.000.001/", "https://127.0.0.1./", "https://127.0.0.0x1/",
    "https://0/", "https://0x0/", "https://00/", "https://0.0/", "https://10.1/", "https://012.0.0.1/",
    "https://0xa.0.0.1/", "https://167772161/", "https://0x0a000001/", "https://192.168.257/",
    "https://0xc0a80001/", "https://3232235521/", "https://2852039166/", "https://0xa9fea9fe/",
    "https://0xa9.0xfe.0xa9.0xfe/", "https://0251.0376.0251.0376/", "https://169.254.43518/",
    "https://169.16689662/", "https://0251.254.169.254/", "https://425.510.425.510/",
    "https://256.256.256.256/", "https://4294967297/", "https://127.0.0.1.1/", "https://1.2.3.4.5/",
    "https://0x/", "https://0x7f.1/", "https://127.0x1/", "https://acme.127/", "https://acme.0x7f/",
    "https://-1/", "https://1e9/", "https://127。0。0。1/", "https://127.0.0.1.:443/",
)  # fmt: skip
SIXES: Final = (
    "https://[::1]/", "https://[::]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::1]:443/",
    "https://[0000:0000:0000:0000:0000:0000:0000:0001]/", "https://[fe80::1]/", "https://[fec0::1]/",
    "https://[fd00::1]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[fd20:ce::254]/",
    "https://[ff02::1]/", "https://[ff0e::1]/", "https://[2001:db8::1]/", "https://[3fff::1]/",
    "https://[100::1]/", "https://[2001:2::1]/", "https://[2001:10::1]/", "https://[5f00::1]/",
    "https://[4000::1]/", "https://[::1", "https://::1/", "https://[::1]acme.test/", "https://[]/",
    "https://[fe80::1%25eth0]/", "https://[::1%25lo]/", "https://[2606:4700::1111%25lo]/",
    "https://[2606:4700::1111%lo]/", "https://[1.1.1.1]/", "https://[v1.fe80::1]/", "https://[acme.test]/",
)  # fmt: skip
STAND_INS: Final = (
    "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::FFFF:10.0.0.1]/",
    "https://[0:0:0:0:0:ffff:169.254.169.254]/", "https://[::ffff:a9fe:a9fe]/",
    "https://[::ffff:0:127.0.0.1]/", "https://[::127.0.0.1]/", "https://[::10.0.0.1]/",
    "https://[::a9fe:a9fe]/", "https://[64:ff9b::127.0.0.1]/", "https://[64:ff9b::a00:1]/",
    "https://[64:ff9b::a9fe:a9fe]/", "https://[64:ff9b:1::a00:1]/", "https://[64:ff9b:1:2::1]/",
    "https://[2002:7f00:1::]/", "https://[2002:a00:1::1]/", "https://[2002:a9fe:a9fe::]/",
    "https://[2001:0:7f00:1::]/", "https://[2001::1]/", "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "https://[fe80::5efe:a00:1]/",
)  # fmt: skip
LETTERS: Final = (
    "https://①②⑦.⓪.⓪.①/", "https://１２７.０.０.１/", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "https://localhoſt/", "https://127․0․0․1/", "https://acme.test／@127.0.0.1/",
    "https://acme.test＠127.0.0.1/", "https://acme.test＃@127.0.0.1/", "https://аcme.test/",
    "https://acme.test。/", "https://acme。test/", "https://acme.test/é", "https://acme.test/\u202egnp",
    "https://acme\u200b.test/", "https://\ufeffacme.test/", "https://acme.test℀.example/",
)  # fmt: skip
HOSTS: Final = (
    "https://", "https://?a", "https://#a", "https://:443/", "https://./", "https://../",
    "https://.acme.test/", "https://acme..test/", "https://acme.test:99999/", "https://acme.test:-1/",
    "https://acme.test:http/", "https://acme.test:4 43/", "https://acme.test:443:443/",
    "https://%31%32%37.0.0.1/", "https://%6c%6f%63%61%6c%68%6f%73%74/", "https://acme%2etest/",
    "https://*.acme.test/", "https://acme.test,127.0.0.1/", "https://{acme}.test/",
    "https://$(hostname).test/", "https://acme.test|127.0.0.1/", "https://<acme>.test/",
    "https://localhost/", "https://LOCALHOST:8000/", "https://localhost./", "https://metadata/",
    "https://postgres:5432/", "https://valkey:6379/", "https://kubernetes/",
    "https://" + "a" * 64 + ".test/", "https://" + "a." * 127 + "test/",
)  # fmt: skip
UNREADABLE: Final = (
    *SCHEMES, *USERS, *SLASHES, *CONTROLS, *INNER, *NUMBERS, *SIXES, *STAND_INS, *LETTERS, *HOSTS,
)  # fmt: skip
"""What nobody need ask a name server about."""

RESOLVED: Final = {
    "localhost.localdomain": ("127.0.0.1",),
    "anything.localhost": ("::1",),
    "127.0.0.1.nip.example": ("127.0.0.1",),
    "10-0-0-1.sslip.example": ("10.0.0.1",),
    "metadata.google.internal": ("169.254.169.254",),
    "kubernetes.default.svc": ("10.96.0.1",),
    "host.docker.internal": ("192.168.65.254",),
    "instance-data.ec2.internal": ("fd00:ec2::254",),
    "mapped.test": ("::ffff:10.0.0.1",),
    "compatible.test": ("::10.0.0.1",),
    "nat64.test": ("64:ff9b::a00:1",),
    "sixtofour.test": ("2002:a00:1::",),
    "linked.test": ("fe80::1%2",),
    "multicast.test": ("224.0.0.251",),
    "nowhere.test": ("0.0.0.0",),  # noqa: S104
    "azure.test": ("168.63.129.16",),
    "first-of-two.test": ("10.0.0.7", "1.1.1.1"),
    "second-of-two.test": ("1.1.1.1", "10.0.0.7"),
    "six-of-two.test": ("2606:4700:4700::1111", "fd00::7"),
    "many.test": (*(f"1.1.1.{n}" for n in range(1, 60)), "127.0.0.1"),
    "nothing.test": (),
}
"""Good names, and what their owners let them resolve to."""
