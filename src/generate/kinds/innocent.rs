//! What looks like an attack and is not. Nobody may be woken for any of it.

use std::net::IpAddr;

use crate::generate::agents;
use crate::generate::episode::{Episode, Network, Plan, Script};
use crate::generate::label::Stream::{Access, Events};
use crate::generate::shop::{self, Page};
use crate::generate::stage::{Event, HTTP_2, Request, Stage};
use crate::generate::visit::machine;

pub(super) static MISTYPED_PASSWORD: Script = Script {
    plans: &[
        Plan::fast(Events, [2, 4], [4000, 25_000]).from(Network::Guests).about_account(),
        Plan::fast(Events, [3, 5], [3000, 15_000]).from(Network::Guests).about_account(),
    ],
    agents: agents::DESKTOPS,
    write: |episode, stage| {
        let account = episode.account(0);
        // One in five has something better to do than a fifth try.
        let gives_up = episode.number() < 4 && episode.chosen(3).is_multiple_of(5);
        let (action, outcome, reason) = if episode.is_last() && !gives_up {
            ("authn_login_success", "success", None)
        } else {
            ("authn_login_fail", "failure", Some("bad_password"))
        };
        stage.event(&Event {
            reason,
            factor: Some("password"),
            agent: Some(episode.agent()),
            ..episode.event(action, outcome, &account)
        });
    },
};

pub(super) static MISTYPED_LOGIN_FORM: Script = Script {
    plans: &[
        Plan::fast(Access, [2, 5], [4000, 25_000]).from(Network::Guests),
        Plan::fast(Access, [4, 5], [3000, 15_000]).from(Network::Guests),
    ],
    agents: agents::BROWSERS,
    write: |episode, stage| {
        let (status, bytes) = if episode.is_last() { (302, 0) } else { (401, 4388) };
        from_page(episode, stage, "POST", "/login", status, bytes, "/login");
    },
};

pub(super) static EXPIRED_TOKEN: Script = Script {
    plans: &[Plan::slow(Access, [200, 300], [9000, 18_000]).from(Network::Guests)],
    agents: agents::APPLICATIONS,
    write: |episode, stage| match episode.number() % 40 {
        20 => episode.send(stage, "GET", "/api/v1/messages?limit=50", 401, 61),
        21 => episode.send(stage, "POST", "/oauth/token", 200, 1187),
        _ => episode.send(stage, "GET", "/api/v1/messages?limit=50", 200, 840),
    },
};

pub(super) static REJECTED_TOKEN: Script = Script {
    plans: &[Plan::slow(Access, [600, 800], [9000, 11_000]).from(Network::Guests)],
    agents: agents::APPLICATIONS,
    write: |episode, stage| episode.send(stage, "GET", "/api/v1/messages?limit=50", 401, 61),
};

pub(super) static INTEGRATED_LOGIN: Script = Script {
    plans: &[Plan::slow(Access, [600, 900], [20, 120]).in_bursts(3, [2000, 9000]).from(Network::Guests)],
    agents: agents::DESKTOPS,
    write: |episode, stage| {
        let account = episode.account(0);
        let (user, status, bytes) = match episode.number() % 3 {
            2 => (account.as_str(), 200, 18_204),
            _ => ("-", 401, 1293),
        };
        let request = Request { user, target: "/intranet/board", status, bytes, ..episode.request() };
        stage.request(&request);
    },
};

pub(super) static OFFICE: Script = Script {
    plans: &[Plan::slow(Access, [1300, 1700], [600, 3000]).from(Network::Guests)],
    agents: agents::DESKTOPS,
    write: |episode, stage| {
        let person = stage.random.below(50);
        share(episode, stage, agents::DESKTOPS[person as usize % agents::DESKTOPS.len()]);
    },
};

pub(super) static CARRIER_NAT: Script = Script {
    plans: &[Plan::slow(Access, [2400, 3000], [250, 1100]).from(Network::Guests)],
    agents: agents::BROWSERS,
    write: |episode, stage| {
        let person = stage.random.below(200);
        share(episode, stage, agents::BROWSERS[person as usize % agents::BROWSERS.len()]);
    },
};

pub(super) static HOUSEHOLD: Script = Script {
    plans: &[Plan::slow(Access, [240, 320], [500, 9000]).by([4, 6]).from(Network::Household)],
    agents: agents::BROWSERS,
    write: |episode, stage| share(episode, stage, episode.agent()),
};

pub(super) static GOOGLEBOT: Script = Script {
    plans: &[Plan::slow(Access, [300, 450], [1500, 9000]).from(Network::Google)],
    agents: &[agents::GOOGLEBOT],
    write: |episode, stage| walk(episode, stage),
};

pub(super) static BINGBOT: Script = Script {
    plans: &[Plan::slow(Access, [180, 260], [3000, 15_000]).from(Network::Bing)],
    agents: &[agents::BINGBOT],
    write: |episode, stage| walk(episode, stage),
};

pub(super) static IMAGE_BOT: Script = Script {
    plans: &[Plan::slow(Access, [180, 260], [2000, 9000]).from(Network::Google)],
    agents: &[agents::GOOGLEBOT_IMAGE],
    write: |episode, stage| {
        let mut target = String::new();
        let number = stage.random.below(4000);
        let bytes =
            shop::push_file(Page::Product((number % 864) as u16), shop::SHARED_FILES + number, &mut target);
        match number % 25 {
            0 => episode.send(
                stage,
                "GET",
                &format!("/images/products/{}", OLD_IMAGES[number as usize / 25 % 8]),
                404,
                146,
            ),
            1..6 => episode.send(stage, "GET", &target, 304, 0),
            _ => episode.send(stage, "GET", &target, 200, bytes),
        }
    },
};

pub(super) static UPTIME_MONITOR: Script = Script {
    plans: &[Plan::slow(Access, [90, 120], [29_700, 30_300]).from(Network::Monitors)],
    agents: agents::MONITORS,
    write: |episode, stage| match episode.favourite(&["head", "health"]) {
        "head" => episode.send(stage, "HEAD", "/", 200, 0),
        _ => episode.send(stage, "GET", "/health", 200, 15),
    },
};

pub(super) static FEED_READER: Script = Script {
    plans: &[Plan::slow(Access, [10, 14], [285_000, 315_000]).from(Network::Guests)],
    agents: agents::FEED_READERS,
    write: |episode, stage| match episode.number() % 8 {
        3 => episode.send(stage, "GET", "/journal/feed.xml", 200, 22_841),
        _ => episode.send(stage, "GET", "/journal/feed.xml", 304, 0),
    },
};

pub(super) static BROKEN_LINK: Script = Script {
    plans: &[Plan::slow(Access, [400, 500], [1000, 6000]).by([250, 300]).from(Network::Guests)],
    agents: agents::BROWSERS,
    write: |episode, stage| from_page(episode, stage, "GET", "/collections/advent-calendar", 404, 5312, "/"),
};

pub(super) static MISSING_IMAGES: Script = Script {
    plans: &[Plan::fast(Access, [54, 81], [8, 90]).in_bursts(9, [8000, 40_000]).from(Network::Guests)],
    agents: agents::BROWSERS,
    write: |episode, stage| match episode.number() % 9 {
        0 => from_page(episode, stage, "GET", "/collections/garden?page=2", 200, 15_204, "/"),
        missing if missing < 7 => {
            let target = format!("/images/products/{}", OLD_IMAGES[missing as usize]);
            from_page(episode, stage, "GET", &target, 404, 146, "/collections/garden?page=2");
        }
        _ => {
            from_page(episode, stage, "GET", "/assets/app-53e0a9d7.js", 304, 0, "/collections/garden?page=2")
        }
    },
};

pub(super) static BROWSER_ICONS: Script = Script {
    plans: &[Plan::fast(Access, [10, 10], [30, 500]).from(Network::Guests)],
    agents: &[agents::SAFARI_IPHONE, agents::CHROME_ANDROID],
    write: |episode, stage| {
        episode.send(stage, "GET", ICONS[episode.number() as usize % ICONS.len()], 404, 146)
    },
};

pub(super) static SINGLE_PAGE_APPLICATION: Script = Script {
    plans: &[Plan::slow(Access, [1400, 1800], [300, 900]).from(Network::Guests)],
    agents: agents::DESKTOPS,
    write: |episode, stage| {
        // A new conversation every three minutes.
        let conversation = episode.chosen(u64::from(episode.number() / 300));
        let target = match stage.random.below(10) {
            0..3 => "/api/v1/conversations?status=open&inbox=whatsapp&page=1".to_owned(),
            3..6 => format!("/api/v1/conversations/{}/messages?limit=30", 100_000 + conversation % 800_000),
            6..8 => "/api/v1/presence".to_owned(),
            8 => "/api/v1/notifications?unread=true".to_owned(),
            _ => format!("/api/v1/customers/{}", 100_000 + conversation % 700_000),
        };
        let bytes = u64::from(stage.random.between(200, 9000));
        let request = Request {
            target: &target,
            protocol: HTTP_2,
            bytes,
            referrer: "https://desk.lumen.example/inbox",
            ..episode.request()
        };
        stage.request(&request);
    },
};

pub(super) static HEAVY_PAGE: Script = Script {
    plans: &[Plan::fast(Access, [484, 605], [3, 25]).in_bursts(121, [15_000, 50_000]).from(Network::Guests)],
    agents: agents::BROWSERS,
    write: |episode, stage| {
        let page = Page::Category((episode.number() / 121) as u16);
        let mut path = String::new();
        page.push_path(&mut path);
        match episode.number() % 121 {
            0 => from_page(episode, stage, "GET", &path, 200, page.bytes(), "/"),
            number => {
                let mut target = String::new();
                let bytes = shop::push_file(page, number - 1, &mut target);
                from_page(episode, stage, "GET", &target, 200, bytes, &path);
            }
        }
    },
};

pub(super) static POLLING_APPLICATION: Script = Script {
    plans: &[Plan::slow(Access, [600, 900], [2500, 3800]).from(Network::Guests)],
    agents: agents::APPLICATIONS,
    write: |episode, stage| {
        let news = stage.random.chance(80);
        let (status, bytes) = if news { (200, 612) } else { (304, 0) };
        let target =
            format!("/api/v1/messages?limit=50&since={}", 71_000_000 + episode.chosen(0) % 1_000_000);
        episode.send(stage, "GET", &target, status, bytes);
    },
};

pub(super) static SEARCH_WORDS: Script = Script {
    plans: &[Plan::fast(Access, [30, 50], [4000, 20_000]).from(Network::Guests)],
    agents: agents::BROWSERS,
    write: |episode, stage| {
        let target = format!("/search?q={}", episode.turn(SEARCHES));
        from_page(episode, stage, "GET", &target, 200, 9204, "/");
    },
};

pub(super) static ADMINISTRATOR: Script = Script {
    plans: &[Plan::slow(Access, [160, 240], [1500, 15_000]).from(Network::Guests)],
    agents: agents::DESKTOPS,
    write: |episode, stage| {
        let (method, status) = if stage.random.chance(120) { ("POST", 302) } else { ("GET", 200) };
        let target = stage.random.pick(ADMINISTRATION);
        let bytes = if status == 302 { 0 } else { u64::from(stage.random.between(4000, 30_000)) };
        // The reports link to each other relative to themselves.
        let from = if stage.random.chance(200) { "/admin/reports/../orders" } else { "/admin/" };
        from_page(episode, stage, method, target, status, bytes, from);
    },
};

pub(super) static VIDEO_STREAMING: Script = Script {
    plans: &[
        Plan::fast(Access, [120, 200], [700, 2500]).from(Network::Guests),
        Plan::slow(Access, [300, 420], [3500, 6500]).from(Network::Guests),
    ],
    agents: agents::BROWSERS,
    write: |episode, stage| {
        let bytes = u64::from(stage.random.between(400_000, 3_000_000));
        let page = "/journal/our-glassblowers";
        if episode.chosen(0).is_multiple_of(2) {
            from_page(episode, stage, "GET", "/media/videos/our-glassblowers-1080p.mp4", 206, bytes, page);
        } else {
            let target = format!("/media/videos/our-glassblowers/segment-{:05}.ts", episode.number());
            from_page(episode, stage, "GET", &target, 200, bytes, page);
        }
    },
};

pub(super) static FILE_DOWNLOAD: Script = Script {
    plans: &[Plan::fast(Access, [8, 16], [400, 4000]).from(Network::Guests)],
    agents: agents::BROWSERS,
    write: |episode, stage| {
        let bytes = if episode.is_last() { 711_204 } else { 2_097_152 };
        from_page(episode, stage, "GET", "/downloads/catalogue-autumn.pdf", 206, bytes, "/help/contact");
    },
};

pub(super) static WEBHOOK_BURST: Script = Script {
    plans: &[Plan::fast(Access, [2000, 2600], [30, 100]).by([24, 40]).from(Network::Meta)],
    agents: &[agents::WEBHOOK],
    write: |episode, stage| episode.send(stage, "POST", "/webhooks/whatsapp", 200, 0),
};

/// What one of many people behind one address asks for.
fn share(episode: &Episode, stage: &mut Stage<'_>, agent: &'static str) {
    let page = Page::entrance(stage.random);
    let address: IpAddr = episode.address();
    match stage.random.below(1000) {
        0..4 => {
            let mistyped = stage.random.chance(250);
            let (status, bytes) = if mistyped { (401, 4388) } else { (302, 0) };
            from_page(episode, stage, "POST", "/login", status, bytes, "/login");
            return;
        }
        4..250 => {
            stage.open(address, "GET");
            page.push_path(stage.text);
            stage.answer(HTTP_2, 200, page.bytes());
            stage.text.push_str(stage.random.pick(shop::OUTSIDE));
        }
        chance => {
            stage.open(address, "GET");
            let number = stage.random.below(24);
            let bytes = shop::push_file(page, number, stage.text);
            let (status, bytes) = if chance < 500 { (304, 0) } else { (200, bytes) };
            stage.answer(HTTP_2, status, bytes);
            stage.text.push_str(shop::SITE);
            page.push_path(stage.text);
        }
    }
    stage.close(agent);
}

fn walk(episode: &Episode, stage: &mut Stage<'_>) {
    match episode.number() {
        0 => return episode.send(stage, "GET", "/robots.txt", 200, 318),
        1 => return episode.send(stage, "GET", "/sitemap.xml", 200, 48_112),
        2 => return episode.send(stage, "GET", "/ads.txt", 404, 146),
        3 => return episode.send(stage, "GET", "/.well-known/assetlinks.json", 404, 146),
        _ => stage.open(episode.address(), "GET"),
    }
    machine::crawl(stage);
    stage.text.push('-');
    stage.close(episode.agent());
}

/// A request that a page of the shop leads to.
fn from_page(
    episode: &Episode,
    stage: &mut Stage<'_>,
    method: &str,
    target: &str,
    status: u32,
    bytes: u64,
    page: &str,
) {
    let referrer = format!("{}{page}", shop::SITE);
    let request =
        Request { method, target, protocol: HTTP_2, status, bytes, referrer: &referrer, ..episode.request() };
    stage.request(&request);
}

const OLD_IMAGES: &[&str] = &[
    "hammock-sand.webp",
    "hammock-olive.webp",
    "deckchair-teak.webp",
    "parasol-large.webp",
    "fire-bowl.webp",
    "garden-bench.webp",
    "bird-bath.webp",
    "hose-reel.webp",
];

const ICONS: &[&str] = &[
    "/apple-touch-icon.png",
    "/apple-touch-icon-precomposed.png",
    "/apple-touch-icon-120x120.png",
    "/apple-touch-icon-120x120-precomposed.png",
    "/favicon-32x32.png",
    "/browserconfig.xml",
    "/.well-known/apple-app-site-association",
    "/.well-known/assetlinks.json",
    "/.well-known/change-password",
    "/.well-known/traffic-advice",
];

const SEARCHES: &[&str] = &[
    "union+jack+mug",
    "select+size",
    "selected+lamps+from+sale",
    "script+font+stencil",
    "javascript+poster",
    "order+by+whatsapp",
    "table+lamp+or+floor+lamp",
    "drop+leaf+table",
    "insert+cushion",
    "where+is+my+order",
    "delete+account",
    "tom%27s+mug",
    "rock+%26+roll+poster",
    "50%25+off",
    "cat+bowl",
    "exec+chair",
    "alert+lamp+for+doorbell",
    "update+delivery+address",
    "union+select+coffee",
    "mirror+%3C+60+cm",
    "having+guests+set",
    "null+wood+stain",
    "what+is+ash+wood%3F",
    "lamp+%2B+shade",
    "load+bearing+shelf",
    "sleep+mask",
    "benchmark+clock",
    "shell+vase",
    "etc",
    "id+tag+holder",
    "group+by+colour+hooks",
    "r%C3%BChrsch%C3%BCssel",
    "vela+de+am%C3%AAndoa",
];

const ADMINISTRATION: &[&str] = &[
    "/admin/",
    "/admin/orders",
    "/admin/orders?status=open&page=1",
    "/admin/orders?status=open&page=2",
    "/admin/orders/204817",
    "/admin/orders/204822",
    "/admin/products",
    "/admin/products/new",
    "/admin/products?sort=stock",
    "/admin/customers",
    "/admin/customers/481223",
    "/admin/reports/daily",
    "/admin/reports/daily?compare=last-year",
    "/admin/settings",
    "/admin/settings/shipping",
    "/admin/templates",
    "/admin/campaigns",
    "/admin/campaigns/autumn-light/edit",
];
