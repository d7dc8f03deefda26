//! Reading what one should not, or more of it than anybody needs.

use crate::generate::agents;
use crate::generate::episode::{Episode, Plan, Script};
use crate::generate::label::Speed;
use crate::generate::label::Stream::{Access, Events};
use crate::generate::stage::{Event, Stage};

pub(super) static OBJECT_ENUMERATION: Script = Script {
    plans: &[Plan::fast(Access, [150, 300], [100, 600]), Plan::slow(Access, [110, 150], [20_000, 45_000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| count_orders(episode, stage),
};

pub(super) static OBJECT_ENUMERATION_DISTRIBUTED: Script = Script {
    plans: &[Plan::fast(Access, [600, 800], [100, 500]).by([10, 16])],
    agents: agents::SCRIPTS,
    write: |episode, stage| count_orders(episode, stage),
};

pub(super) static OBJECT_ENUMERATION_BY_ACCOUNT: Script = Script {
    plans: &[
        Plan::fast(Events, [100, 200], [300, 2500]).about_account(),
        Plan::slow(Events, [100, 130], [25_000, 55_000]).about_account(),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let number = 100_000 + episode.chosen(0) % 500_000 + u64::from(episode.number());
        let denied = episode.chosen(number) % 10 < 4;
        read(episode, stage, "order", number, denied);
    },
};

pub(super) static MASS_EXPORT_BY_COUNT: Script = Script {
    plans: &[
        Plan::fast(Events, [200, 350], [300, 2200]).about_account(),
        Plan::slow(Events, [130, 170], [15_000, 40_000]).about_account(),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let number = 100_000 + episode.chosen(u64::from(episode.number())) % 800_000;
        read(episode, stage, "customer", number, false);
    },
};

pub(super) static MASS_EXPORT_BY_BYTES: Script = Script {
    plans: &[Plan::fast(Access, [10, 20], [2000, 9000]), Plan::slow(Access, [12, 18], [200_000, 400_000])],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        let chosen = episode.chosen(u64::from(episode.number()));
        let target = format!("/api/v1/contacts/export?format=csv&limit=100000&page={}", episode.number() + 1);
        episode.send(stage, "GET", &target, 200, 30_000_000 + chosen % 70_000_000);
    },
};

pub(super) static SENSITIVE_PATH_ACCESS: Script = Script {
    plans: &[Plan::fast(Access, [4, 9], [1500, 12_000]), Plan::slow(Access, [4, 7], [300_000, 700_000])],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let chosen = episode.chosen(u64::from(episode.number()));
        episode.send(stage, "GET", episode.turn(SENSITIVE), 200, 20_000 + chosen % 900_000);
    },
};

pub(super) static AUTHORIZATION_PROBING: Script = Script {
    plans: &[
        Plan::fast(Events, [20, 40], [700, 6000]).about_account(),
        Plan::slow(Events, [24, 32], [60_000, 170_000]).about_account(),
    ],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let account = episode.account(0);
        let function = episode.turn(FUNCTIONS);
        stage.event(&Event {
            detail: function,
            session: Some(episode.chosen(1)),
            object: Some((function, episode.chosen(u64::from(episode.number())) % 900 + 100)),
            ..episode.event("authz_fail", "failure", &account)
        });
    },
};

pub(super) static SECRET_READS: Script = Script {
    plans: &[
        Plan::fast(Events, [16, 30], [1500, 14_000]).about_account(),
        Plan::slow(Events, [20, 28], [60_000, 160_000]).about_account(),
    ],
    agents: agents::SCRIPTS,
    write: |episode, stage| read(episode, stage, "secret", 4000 + u64::from(episode.number()), false),
};

fn count_orders(episode: &Episode, stage: &mut Stage<'_>) {
    let number = 100_000 + episode.chosen(0) % 500_000 + u64::from(episode.number());
    let luck = episode.chosen(number) % 10;
    // Who counts slowly meets more numbers that are not there: they were chosen without knowing.
    let found = if episode.speed() == Speed::Fast { 7 } else { 5 };
    let (status, bytes) = match luck {
        luck if luck < found => (200, 1100 + number % 900),
        9 => (403, 62),
        _ => (404, 48),
    };
    episode.send(stage, "GET", &format!("/api/v1/orders/{number}"), status, bytes);
}

fn read(episode: &Episode, stage: &mut Stage<'_>, kind: &str, number: u64, denied: bool) {
    let account = episode.account(0);
    let (action, outcome) = if denied { ("authz_fail", "failure") } else { ("sensitive_read", "success") };
    stage.event(&Event {
        session: Some(episode.chosen(1)),
        object: Some((kind, number)),
        bytes: (!denied).then(|| 900 + episode.chosen(number) % 6000),
        ..episode.event(action, outcome, &account)
    });
}

const SENSITIVE: &[&str] = &[
    "/admin/export/customers.csv",
    "/backups/crm-2026-11-23.sql.gz",
    "/internal/config",
    "/api/v1/customers/export?format=csv",
    "/api/v1/conversations/export?format=json",
    "/admin/export/conversations.zip",
    "/api/v1/admin/keys",
    "/reports/finance/payroll-2026-10.xlsx",
];

const FUNCTIONS: &[&str] = &[
    "user_admin",
    "role_admin",
    "billing",
    "audit_log",
    "api_key",
    "webhook",
    "export",
    "template",
    "phone_number",
    "backup",
    "integration",
    "refund",
    "price_list",
    "report",
];
