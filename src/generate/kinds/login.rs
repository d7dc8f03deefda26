//! Attacks on logins. Where the attack is about accounts, the application's events tell of it; where it goes
//! through a form or an endpoint of the web server, the access log does.

use crate::generate::agents;
use crate::generate::episode::{Episode, Network, Plan, Script};
use crate::generate::label::Stream::{Access, Events};
use crate::generate::stage::{Event, HTTP_2, Request, Stage};

pub(super) static BRUTE_FORCE_BY_ACCOUNT: Script = Script {
    plans: &[
        Plan::fast(Events, [40, 90], [900, 5000]).by([1, 3]).about_account(),
        Plan::slow(Events, [26, 34], [90_000, 300_000]).by([1, 3]).about_account(),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| fail(episode, stage, 0),
};

pub(super) static BRUTE_FORCE_BY_ADDRESS: Script = Script {
    plans: &[
        Plan::fast(Access, [60, 150], [250, 1500]),
        Plan::fast(Access, [60, 120], [250, 1500]).by([16, 16]).from(Network::Rotating),
        Plan::slow(Access, [28, 40], [90_000, 260_000]),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let request = Request {
            method: "POST",
            target: "/login",
            status: if episode.number() > 40 && episode.number() % 9 == 0 { 429 } else { 401 },
            bytes: 4388,
            referrer: "https://shop.lumen.example/login",
            ..episode.request()
        };
        stage.request(&request);
    },
};

pub(super) static BRUTE_FORCE_WORDPRESS: Script = Script {
    plans: &[
        Plan::fast(Access, [60, 140], [400, 2200]),
        Plan::slow(Access, [28, 40], [80_000, 240_000]),
        Plan::slow(Access, [60, 80], [30_000, 70_000]).by([8, 14]),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let request = Request {
            method: "POST",
            target: "/wp-login.php",
            bytes: 6912 + episode.chosen(0) % 40,
            referrer: "https://shop.lumen.example/wp-login.php",
            ..episode.request()
        };
        stage.request(&request);
    },
};

pub(super) static BRUTE_FORCE_XML_RPC: Script = Script {
    plans: &[Plan::fast(Access, [80, 200], [200, 1200]), Plan::slow(Access, [40, 60], [45_000, 120_000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| episode.send(stage, "POST", "/xmlrpc.php", 200, 403),
};

pub(super) static BRUTE_FORCE_TOKEN_ENDPOINT: Script = Script {
    plans: &[Plan::fast(Access, [50, 120], [200, 1500]), Plan::slow(Access, [28, 40], [80_000, 240_000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let status = if episode.chosen(u64::from(episode.number())).is_multiple_of(5) { 400 } else { 401 };
        episode.send(stage, "POST", "/oauth/token", status, 76);
    },
};

pub(super) static BRUTE_FORCE_BASIC: Script = Script {
    plans: &[
        Plan::fast(Access, [50, 120], [150, 1100]),
        Plan::slow(Access, [28, 40], [80_000, 240_000]),
        Plan::fast(Access, [90, 160], [500, 2600]).by([20, 40]).about_account(),
    ],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let account = episode.account(0);
        let request =
            Request { user: &account, target: "/admin/", status: 401, bytes: 179, ..episode.request() };
        stage.request(&request);
    },
};

pub(super) static BASIC_AUTH_GUESSING: Script = Script {
    plans: &[Plan::fast(Access, [80, 160], [200, 1500]), Plan::slow(Access, [90, 120], [25_000, 55_000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let account = episode.account(episode.number() % 30);
        let (status, bytes) = if episode.is_last() { (200, 5230) } else { (401, 179) };
        let request = Request { user: &account, target: "/reports/", status, bytes, ..episode.request() };
        stage.request(&request);
    },
};

pub(super) static PROTECTED_PAGE_GUESSING: Script = Script {
    plans: &[Plan::fast(Access, [300, 500], [100, 900])],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let (status, bytes) = if episode.is_last() { (200, 5230) } else { (401, 179) };
        episode.send(stage, "GET", "/reports/finance", status, bytes);
    },
};

pub(super) static TOKEN_GUESSING: Script = Script {
    plans: &[Plan::fast(Access, [350, 500], [200, 1500])],
    agents: agents::SCRIPTS,
    write: |episode, stage| episode.send(stage, "POST", "/graphql", 401, 112),
};

pub(super) static BRUTE_FORCE_DISTRIBUTED: Script = Script {
    plans: &[
        Plan::fast(Events, [90, 160], [1500, 7000]).by([30, 60]).about_account(),
        Plan::slow(Events, [60, 80], [45_000, 120_000]).by([20, 40]).about_account(),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| fail(episode, stage, 0),
};

pub(super) static FORM_LOGIN_GUESSING: Script = Script {
    plans: &[Plan::fast(Access, [60, 140], [400, 2200]), Plan::slow(Access, [50, 60], [60_000, 150_000])],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let request = Request {
            method: "POST",
            target: "/login",
            protocol: HTTP_2,
            bytes: 4436 + episode.chosen(0) % 9,
            referrer: "https://shop.lumen.example/login",
            ..episode.request()
        };
        stage.request(&request);
    },
};

pub(super) static PASSWORD_SPRAY: Script = Script {
    plans: &[Plan::fast(Events, [120, 200], [700, 3500]), Plan::slow(Events, [70, 90], [55_000, 65_000])],
    agents: agents::DISGUISES,
    write: |episode, stage| fail(episode, stage, episode.number() % 45),
};

pub(super) static PASSWORD_SPRAY_DISTRIBUTED: Script = Script {
    plans: &[
        Plan::fast(Events, [160, 260], [600, 3000]).by([12, 25]),
        Plan::slow(Events, [70, 90], [50_000, 65_000]).by([8, 14]),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| fail(episode, stage, episode.number() % 60),
};

pub(super) static CREDENTIAL_STUFFING: Script = Script {
    plans: &[Plan::fast(Events, [180, 320], [200, 1100]), Plan::slow(Events, [100, 130], [25_000, 55_000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let fits = episode.chosen(u64::from(episode.number())) % 100 < 2;
        if fits { succeed(episode, stage, episode.number()) } else { fail(episode, stage, episode.number()) }
    },
};

pub(super) static CREDENTIAL_STUFFING_DISTRIBUTED: Script = Script {
    plans: &[Plan::fast(Access, [700, 1000], [150, 700]).by([120, 250])],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let fits = episode.chosen(u64::from(episode.number())) % 100 < 2;
        let (status, bytes) = if fits { (302, 0) } else { (401, 4388) };
        episode.send(stage, "POST", "/login", status, bytes);
    },
};

pub(super) static USER_ENUMERATION: Script = Script {
    plans: &[Plan::fast(Events, [50, 100], [300, 2000]), Plan::slow(Events, [50, 70], [40_000, 90_000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let account = episode.account(episode.number());
        let known = episode.chosen(u64::from(episode.number())).is_multiple_of(8);
        stage.event(&Event {
            reason: Some(if known { "bad_password" } else { "unknown_user" }),
            factor: Some("password"),
            agent: Some(episode.agent()),
            ..episode.event("authn_login_fail", "failure", &account)
        });
    },
};

pub(super) static USER_ENUMERATION_WORDPRESS: Script = Script {
    plans: &[Plan::fast(Access, [15, 30], [200, 1200]), Plan::slow(Access, [15, 25], [60_000, 150_000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let target = match episode.number() {
            3 => "/wp-json/wp/v2/users".to_owned(),
            7 => "/wp-json/wp/v2/users/?per_page=100&page=1".to_owned(),
            number => format!("/?author={}", number + 1),
        };
        episode.send(stage, "GET", &target, 404, 5312);
    },
};

pub(super) static SUCCESS_AFTER_FAILURES: Script = Script {
    plans: &[
        Plan::fast(Events, [10, 18], [1500, 9000]).about_account(),
        Plan::slow(Events, [9, 11], [55_000, 100_000]).about_account(),
        Plan::fast(Events, [12, 18], [4000, 15_000]).by([3, 6]).about_account(),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        if episode.is_last() { succeed(episode, stage, 0) } else { fail(episode, stage, 0) }
    },
};

pub(super) static MFA_FATIGUE: Script = Script {
    plans: &[
        Plan::fast(Events, [9, 16], [15_000, 50_000]).about_account(),
        Plan::slow(Events, [18, 24], [150_000, 330_000]).about_account(),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let account = episode.account(0);
        // In half of all cases the owner gives in.
        let given_in = episode.is_last() && episode.chosen(0).is_multiple_of(2);
        let (action, outcome, reason) = if given_in {
            ("authn_login_success", "success", None)
        } else {
            ("authn_mfa_denied", "failure", Some("user_denied"))
        };
        stage.event(&Event {
            reason,
            factor: Some("push"),
            agent: Some(episode.agent()),
            ..episode.event(action, outcome, &account)
        });
    },
};

pub(super) static OTP_GUESSING: Script = Script {
    plans: &[
        Plan::fast(Events, [30, 80], [700, 5000]).about_account(),
        Plan::slow(Events, [26, 36], [70_000, 200_000]).about_account(),
        Plan::fast(Events, [40, 80], [700, 5000]).by([8, 16]).about_account(),
    ],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let account = episode.account(0);
        stage.event(&Event {
            reason: Some("bad_code"),
            factor: Some("otp"),
            agent: Some(episode.agent()),
            ..episode.event("authn_login_fail", "failure", &account)
        });
    },
};

pub(super) static TOKEN_REUSE: Script = Script {
    plans: &[
        Plan::fast(Events, [8, 14], [5000, 40_000]).by([4, 6]).about_account(),
        Plan::slow(Events, [12, 18], [120_000, 320_000]).by([4, 6]).about_account(),
    ],
    agents: agents::BROWSERS,
    write: |episode, stage| {
        let account = episode.account(0);
        stage.event(&Event {
            session: Some(episode.chosen(1)),
            agent: Some(episode.agent()),
            ..episode.event("authn_token_reuse", "failure", &account)
        });
    },
};

fn fail(episode: &Episode, stage: &mut Stage<'_>, person: u32) {
    let account = episode.account(person);
    stage.event(&Event {
        reason: Some("bad_password"),
        factor: Some("password"),
        agent: Some(episode.agent()),
        ..episode.event("authn_login_fail", "failure", &account)
    });
}

fn succeed(episode: &Episode, stage: &mut Stage<'_>, person: u32) {
    let account = episode.account(person);
    stage.event(&Event {
        factor: Some("password"),
        session: Some(episode.chosen(u64::from(person))),
        agent: Some(episode.agent()),
        ..episode.event("authn_login_success", "success", &account)
    });
}
