//! Too many requests.

use crate::generate::agents;
use crate::generate::episode::{Plan, Script};
use crate::generate::label::Stream::Access;
use crate::generate::stage::HTTP_2;
use crate::generate::stage::Request;

pub(super) static REQUEST_FLOOD: Script = Script {
    plans: &[Plan::fast(Access, [3000, 5000], [4, 14]), Plan::slow(Access, [4000, 5000], [60, 140])],
    agents: agents::SCRIPTS,
    write: |episode, stage| {
        // After a while the server gives up on some.
        let (status, bytes) =
            if episode.number() > 1200 && episode.number() % 3 == 0 { (503, 190) } else { (200, 18_420) };
        episode.send(stage, "GET", "/", status, bytes);
    },
};

pub(super) static CACHE_DODGING_FLOOD: Script = Script {
    plans: &[Plan::fast(Access, [2000, 3000], [8, 28]), Plan::slow(Access, [1500, 2000], [250, 700])],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let chosen = episode.chosen(u64::from(episode.number()));
        let target = match episode.favourite(&["search", "collection", "home"]) {
            "search" => format!("/search?q={:08x}&_={}", chosen >> 32, chosen % 1_000_000_000),
            "collection" => format!("/collections/lighting?v={chosen:x}"),
            _ => format!("/?{chosen:x}"),
        };
        episode.send(stage, "GET", &target, 200, 7000 + chosen % 12_000);
    },
};

pub(super) static DISTRIBUTED_FLOOD: Script = Script {
    plans: &[Plan::fast(Access, [6000, 8000], [1, 5]).by([80, 130])],
    agents: agents::DISGUISES,
    write: |episode, stage| {
        let busy = episode.number() > 2000 && episode.number() % 4 != 0;
        let request = Request {
            target: "/search?q=lamp&sort=price-asc&page=1",
            protocol: HTTP_2,
            status: if busy { 503 } else { 200 },
            bytes: if busy { 190 } else { 14_872 },
            ..episode.request()
        };
        stage.request(&request);
    },
};
