//! Looking around: what is there, what is open, who answers.

use crate::generate::agents;
use crate::generate::episode::{Episode, Plan, Script};
use crate::generate::label::Stream::Access;
use crate::generate::shop::Page;
use crate::generate::stage::{Request, Stage};

pub(super) static NOT_FOUND_SCAN: Script = Script {
    plans: &[Plan::fast(Access, [200, 380], [30, 220]), Plan::slow(Access, [90, 120], [25_000, 60_000])],
    agents: agents::DISGUISES,
    write: |episode, stage| guess(episode, stage),
};

pub(super) static NOT_FOUND_SCAN_DISTRIBUTED: Script = Script {
    plans: &[
        Plan::fast(Access, [380, 400], [60, 450]).by([18, 25]),
        Plan::slow(Access, [200, 240], [10_000, 24_000]).by([8, 12]),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| guess(episode, stage),
};

pub(super) static FORBIDDEN_PROBING: Script = Script {
    plans: &[Plan::fast(Access, [40, 80], [150, 1200]), Plan::slow(Access, [30, 45], [60_000, 150_000])],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let root = episode.turn(RESTRICTED);
        let target = match episode.chosen(u64::from(episode.number())) % 3 {
            0 => format!("{root}?page={}", episode.number() + 1),
            _ => root.to_owned(),
        };
        let status = if episode.chosen(u64::from(episode.number())) % 10 < 8 { 403 } else { 401 };
        episode.send(stage, "GET", &target, status, 548);
    },
};

pub(super) static SENSITIVE_FILE_PROBING: Script = Script {
    plans: &[
        Plan::fast(Access, [25, 45], [80, 600]),
        Plan::slow(Access, [14, 22], [120_000, 300_000]),
        Plan::fast(Access, [30, 45], [400, 2600]).by([10, 20]),
    ],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let status = if episode.chosen(u64::from(episode.number())).is_multiple_of(9) { 403 } else { 404 };
        episode.send(stage, "GET", episode.turn(SENSITIVE_FILES), status, 153);
    },
};

pub(super) static ADMIN_PROBING: Script = Script {
    plans: &[
        Plan::fast(Access, [25, 45], [100, 900]),
        Plan::slow(Access, [16, 24], [120_000, 300_000]),
        Plan::fast(Access, [30, 45], [400, 2600]).by([10, 20]),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| episode.send(stage, "GET", episode.turn(ADMINISTRATION), 404, 153),
};

pub(super) static SCANNER_AGENT: Script = Script {
    plans: &[
        Plan::fast(Access, [100, 220], [20, 300]),
        Plan::slow(Access, [20, 30], [90_000, 240_000]),
        Plan::fast(Access, [60, 90], [200, 1500]).by([6, 12]),
    ],
    agents: agents::SCANNERS,
    write: |episode, stage| match episode.chosen(u64::from(episode.number())) % 4 {
        0 => episode.send(stage, "GET", "/", 200, 18_420),
        1 => episode.send(stage, "GET", episode.turn(ADMINISTRATION), 404, 153),
        2 => episode.send(stage, "GET", episode.turn(SENSITIVE_FILES), 404, 153),
        _ => guess(episode, stage),
    },
};

pub(super) static CRAWLING: Script = Script {
    plans: &[Plan::fast(Access, [450, 700], [40, 260]), Plan::slow(Access, [600, 780], [3000, 6000])],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let page = Page::Product((episode.number() % 864) as u16);
        let mut target = String::new();
        page.push_path(&mut target);
        episode.send(stage, "GET", &target, 200, page.bytes());
    },
};

pub(super) static OPEN_PROXY_PROBING: Script = Script {
    plans: &[Plan::fast(Access, [8, 20], [200, 2500]), Plan::slow(Access, [10, 14], [200_000, 420_000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| match episode.number() % 3 {
        0 => episode.send(stage, "CONNECT", episode.turn(TUNNELS), 400, 157),
        _ => episode.send(stage, "GET", episode.turn(FOREIGN), 400, 157),
    },
};

pub(super) static MALFORMED_REQUESTS: Script = Script {
    plans: &[Plan::fast(Access, [15, 40], [150, 2500]), Plan::slow(Access, [12, 18], [150_000, 360_000])],
    agents: &["-"],
    write: |episode, stage| {
        let request = Request {
            method: "",
            target: episode.turn(GREETINGS),
            status: 400,
            bytes: 157,
            ..episode.request()
        };
        stage.request(&request);
    },
};

pub(super) static OVERLONG_REQUESTS: Script = Script {
    plans: &[Plan::fast(Access, [15, 30], [200, 4000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let filling = episode.favourite(&["%25s", "a/", "x1", "..;", "%C3%A4"]);
        let mut target = format!("/{}?q=", episode.turn(FORGOTTEN));
        let length = 8200 + episode.chosen(u64::from(episode.number())) % 4000;
        while (target.len() as u64) < length {
            target.push_str(filling);
        }
        episode.send(stage, "GET", &target, 414, 176);
    },
};

/// The next of four hundred paths, each of which somebody once forgot on a server.
fn guess(episode: &Episode, stage: &mut Stage<'_>) {
    let (names, endings) = (FORGOTTEN.len() as u64, ENDINGS.len() as u64);
    let place = (episode.chosen(2) + u64::from(episode.number()) * 7) % (names * endings);
    let target = format!("/{}{}", FORGOTTEN[(place % names) as usize], ENDINGS[(place / names) as usize]);
    episode.send(stage, "GET", &target, 404, 153);
}

const FORGOTTEN: &[&str] = &[
    "admin",
    "archive",
    "assets_old",
    "auth",
    "backup",
    "beta",
    "cache",
    "cms",
    "config",
    "console",
    "cp",
    "crm",
    "data",
    "db",
    "demo",
    "dev",
    "dump",
    "export",
    "files",
    "forum",
    "include",
    "install",
    "internal",
    "legacy",
    "log",
    "mail",
    "new",
    "old",
    "panel",
    "portal",
    "private",
    "public_html",
    "reports",
    "secret",
    "server",
    "setup",
    "shop_old",
    "site",
    "sql",
    "staging",
    "temp",
];
const ENDINGS: &[&str] = &["", "/", ".php", ".zip", ".bak", ".old", ".txt", "_old/", ".tar.gz", "1/"];

const RESTRICTED: &[&str] = &[
    "/admin/",
    "/admin/users",
    "/admin/orders",
    "/admin/settings",
    "/admin/exports",
    "/api/v1/admin/users",
    "/api/v1/admin/keys",
    "/api/v1/internal/config",
    "/api/v1/staff",
    "/api/v1/audit",
    "/api/v1/webhooks",
    "/api/v1/billing",
    "/internal/",
    "/reports/",
    "/reports/finance",
    "/desk/settings",
    "/desk/team",
    "/api/v1/phone-numbers",
    "/server-status",
    "/nginx_status",
];

const SENSITIVE_FILES: &[&str] = &[
    "/.env",
    "/.env.production",
    "/.env.local",
    "/.env.bak",
    "/.git/config",
    "/.git/HEAD",
    "/.aws/credentials",
    "/.ssh/id_rsa",
    "/.svn/entries",
    "/.htpasswd",
    "/.htaccess",
    "/.DS_Store",
    "/.npmrc",
    "/.docker/config.json",
    "/config.json",
    "/config.php.bak",
    "/wp-config.php.bak",
    "/wp-config.php~",
    "/wp-config.php.save",
    "/backup.sql",
    "/dump.sql",
    "/database.sql.gz",
    "/db.sqlite3",
    "/backup.zip",
    "/backup.tar.gz",
    "/www.zip",
    "/phpinfo.php",
    "/info.php",
    "/server.key",
    "/id_rsa",
    "/docker-compose.yml",
    "/Dockerfile",
    "/composer.lock",
    "/secrets.yml",
    "/config/database.yml",
    "/application.properties",
    "/appsettings.json",
    "/web.config",
    "/.vscode/sftp.json",
    "/.kube/config",
    "/terraform.tfstate",
    "/credentials.json",
    "/api/.env",
    "/backend/.env",
    "/storage/logs/laravel.log",
    "/WEB-INF/web.xml",
];

const ADMINISTRATION: &[&str] = &[
    "/phpmyadmin/",
    "/phpMyAdmin/index.php",
    "/pma/",
    "/myadmin/",
    "/mysql/admin/",
    "/dbadmin/",
    "/adminer.php",
    "/adminer-4.8.1.php",
    "/administrator/",
    "/administrator/index.php",
    "/wp-admin/",
    "/wp-admin/install.php",
    "/wp-admin/setup-config.php",
    "/manager/html",
    "/host-manager/html",
    "/jenkins/login",
    "/jmx-console/",
    "/web-console/",
    "/solr/admin/",
    "/admin.php",
    "/admin/login.php",
    "/admin/config.php",
    "/admin/phpinfo.php",
    "/cpanel",
    "/whm",
    "/webadmin/",
    "/user/login",
    "/umbraco/",
    "/typo3/",
    "/bitrix/admin/",
    "/magento/admin",
    "/index.php/admin/",
    "/grafana/login",
    "/kibana/",
    "/zabbix/",
    "/nagios/",
    "/actuator",
    "/actuator/env",
    "/druid/index.html",
    "/nacos/",
    "/xxl-job-admin/toLogin",
    "/sqladmin/",
    "/hudson/script",
    "/console/login/LoginForm.jsp",
    "/portainer/",
];

const TUNNELS: &[&str] =
    &["httpbin.example:443", "ip.example:443", "198.18.255.1:25", "mail.example:587", "check.example:443"];
const FOREIGN: &[&str] = &[
    "http://ip.example/",
    "http://azenv.example/proxyheader.php",
    "http://check.example/ip.php",
    "http://198.18.255.1:8080/judge.php",
    "https://httpbin.example/ip",
];

/// What other protocols say first, as nginx writes it down.
const GREETINGS: &[&str] = &[
    r"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\x9E\x1B\xC4\x52\x7F\xA0\x11\x8D\xE3\x6B\x02\x91",
    r"\x16\x03\x01\x00\xEE\x01\x00\x00\xEA\x03\x03\xAF\x05\xD1\x9B\xB2\x8Ez\xC7\x18",
    r"\x16\x03\x02\x01o\x01\x00\x01k\x03\x02RH\xC5\x1A#\xF7:N\xDF\xE2\xB4\x82/\xFF\x09T\x9F",
    r"\x03\x00\x00/*\xE0\x00\x00\x00\x00\x00Cookie: mstshash=Administr",
    r"\x03\x00\x00\x13\x0E\xE0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
    r"SSH-2.0-Go",
    r"\x00\x00\x00T\xFFSMBr\x00\x00\x00\x00\x18\x01\x28\x00\x00",
    r"\x00\x0E8\x9B\xE3\x97\xE7\x8C\x81\xCD\x00\x00\x00\x00\x00",
    r"t3 12.2.1",
    r"MGLNDD_198.18.255.1_443",
    r"\x05\x01\x00",
    r"\x04\x01\x00P\xC6\x12\xFF\x01\x00",
    r"{\x22id\x22:1,\x22method\x22:\x22mining.subscribe\x22,\x22params\x22:[]}",
    r"\x12\x01\x00/\x00\x00\x01\x00\x00\x00\x1A\x00\x06\x01\x00 \x00\x01\x02",
    r"*1\x0D\x0A$4\x0D\x0AINFO",
];
