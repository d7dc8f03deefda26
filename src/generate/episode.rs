//! One staged attack or innocent: who, when, how many lines, how far apart.
//!
//! A kind is told by its [`Script`]: the plans it is staged by (fast, slow, from many addresses), and one
//! function that writes its n-th line. Everything else (the cast, the pace, the label) is the same for all
//! and lives here.

use std::net::IpAddr;

use crate::generate::clock;
use crate::generate::kinds::Kind;
use crate::generate::label::{Label, Speed, Stream, Subject};
use crate::generate::names;
use crate::generate::population::{self, Population};
use crate::generate::random::{Random, mix};
use crate::generate::stage::{Event, HTTP_1, Request, Stage};

/// How a kind is staged.
pub(super) struct Script {
    pub(super) plans: &'static [Plan],
    /// What its clients call themselves; each address keeps to one.
    pub(super) agents: &'static [&'static str],
    pub(super) write: fn(&Episode, &mut Stage<'_>),
}

/// One way of staging a kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) speed: Speed,
    pub(super) stream: Stream,
    lines: [u32; 2],
    /// Milliseconds between two lines.
    gap: [u32; 2],
    /// Lines come in bursts of so many, with so many milliseconds between the bursts.
    bursts: Option<(u32, [u32; 2])>,
    addresses: [u32; 2],
    network: Network,
    about_account: bool,
}

/// Where a cast's addresses are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    Attackers,
    /// One machine that changes its address within its /64.
    Rotating,
    Guests,
    /// Telephones and computers of one household, in its /64.
    Household,
    Google,
    Bing,
    Meta,
    Monitors,
}

impl Plan {
    pub(super) const fn fast(stream: Stream, lines: [u32; 2], gap: [u32; 2]) -> Plan {
        Plan {
            speed: Speed::Fast,
            stream,
            lines,
            gap,
            bursts: None,
            addresses: [1, 1],
            network: Network::Attackers,
            about_account: false,
        }
    }

    pub(super) const fn slow(stream: Stream, lines: [u32; 2], gap: [u32; 2]) -> Plan {
        Plan { speed: Speed::Slow, ..Plan::fast(stream, lines, gap) }
    }

    pub(super) const fn by(self, addresses: [u32; 2]) -> Plan {
        Plan { addresses, ..self }
    }

    pub(super) const fn from(self, network: Network) -> Plan {
        Plan { network, ..self }
    }

    pub(super) const fn about_account(self) -> Plan {
        Plan { about_account: true, ..self }
    }

    pub(super) const fn in_bursts(self, size: u32, pause: [u32; 2]) -> Plan {
        Plan { bursts: Some((size, pause)), ..self }
    }

    /// The access-log lines it writes on average.
    pub(super) fn expected_lines(&self) -> u64 {
        match self.stream {
            Stream::Access => u64::from(self.lines[0] + self.lines[1]) / 2,
            Stream::Events | Stream::Webhooks => 0,
        }
    }

    /// Milliseconds within which it is over, but for very bad luck.
    pub(super) fn span(&self, lines: u32) -> u64 {
        let usual = |[low, high]: [u32; 2]| (u64::from(low) + u64::from(high)) / 2;
        let (gaps, pauses, longest) = match self.bursts {
            Some((size, pause)) => (lines, lines / size, pause[1]),
            None => (lines, 0, self.gap[1]),
        };
        let pause = self.bursts.map_or(0, |(_, pause)| usual(pause));
        let mean = u64::from(gaps) * usual(self.gap) + u64::from(pauses) * pause;
        mean + mean / 8 + 2 * u64::from(longest)
    }
}

/// Who has not been on stage yet: every episode gets addresses and accounts of its own.
pub(super) struct Cast {
    attackers: u32,
    guests: u32,
    people: u32,
}

/// People an episode may name: more than any has lines to name them in.
const PEOPLE_PER_EPISODE: u32 = 1000;

impl Cast {
    /// A cast that begins at a place of the seed's own.
    pub(super) fn new(seed: u64) -> Cast {
        let begin = mix(seed, 11);
        // Staff have the low numbers.
        Cast { attackers: begin as u32 & 0x1_ffff, guests: 0, people: 1 << 20 }
    }

    fn addresses(&mut self, plan: &Plan, population: &Population, random: &mut Random) -> Vec<IpAddr> {
        let many = random.between(plan.addresses[0], plan.addresses[1]);
        let attackers = self.attackers;
        let guests = self.guests;
        let number = random.below(1 << 16);
        match plan.network {
            Network::Attackers => self.attackers = attackers.wrapping_add(many),
            Network::Rotating => self.attackers = attackers.wrapping_add(1),
            Network::Guests => self.guests = guests.wrapping_add(many),
            Network::Household => self.guests = guests.wrapping_add(1),
            Network::Google | Network::Bing | Network::Meta | Network::Monitors => {}
        }
        (0..many)
            .map(|member| match plan.network {
                Network::Attackers => population::attacker(attackers.wrapping_add(member)),
                Network::Rotating => population::neighbour(attackers, member),
                Network::Guests => population.guest(guests.wrapping_add(member)).address,
                Network::Household => population.household(guests, member),
                Network::Google => population::google(number.wrapping_add(member)),
                Network::Bing => population::bing(number.wrapping_add(member)),
                Network::Meta => population::meta(number.wrapping_add(member)),
                Network::Monitors => population::monitor(number.wrapping_add(member)),
            })
            .collect()
    }
}

/// A kind on stage.
pub(super) struct Episode {
    kind: Kind,
    plan: Plan,
    lines: u32,
    addresses: Vec<IpAddr>,
    people: u32,
    /// The name of the first of its people, when somebody chose it.
    named: Option<String>,
    salt: u64,
    /// The number of the line that is written now, from 0.
    number: u32,
    first_ms: i64,
    last_ms: i64,
}

impl Episode {
    pub(super) fn cast(
        kind: Kind,
        plan: Plan,
        cast: &mut Cast,
        population: &Population,
        random: &mut Random,
    ) -> Episode {
        let addresses = cast.addresses(&plan, population, random);
        let people = cast.people;
        cast.people = people.wrapping_add(PEOPLE_PER_EPISODE);
        Episode {
            kind,
            plan,
            lines: random.between(plan.lines[0], plan.lines[1]),
            addresses,
            people,
            named: None,
            salt: random.number(),
            number: 0,
            first_ms: 0,
            last_ms: 0,
        }
    }

    /// Has somebody else do it, or has it done to somebody else.
    pub(super) fn recast(&mut self, subject: Subject) {
        match subject {
            Subject::Address { address } => self.addresses = vec![address],
            Subject::Addresses { addresses } if addresses.is_empty() => {}
            Subject::Addresses { addresses } => self.addresses = addresses,
            Subject::Account { account } => self.named = Some(account),
            Subject::Number { .. } | Subject::Business { .. } => {}
        }
    }

    pub(super) fn stream(&self) -> Stream {
        self.plan.stream
    }

    pub(super) fn span(&self) -> u64 {
        self.plan.span(self.lines)
    }

    /// Writes one line and says after how many milliseconds it will write the next, if ever.
    pub(super) fn act(&mut self, stage: &mut Stage<'_>) -> Option<u64> {
        (self.kind.script().write)(self, stage);
        if self.number == 0 {
            self.first_ms = stage.at_ms;
        }
        self.last_ms = stage.at_ms;
        self.number += 1;
        let [low, high] = match self.plan.bursts {
            Some((size, pause)) if self.number.is_multiple_of(size) => pause,
            _ => self.plan.gap,
        };
        (self.number < self.lines).then(|| u64::from(stage.random.between(low, high)))
    }

    /// What is known of it by now; nothing as long as it has not written a line.
    pub(super) fn label(&self) -> Option<Label> {
        (self.number > 0).then(|| Label {
            kind: self.kind,
            speed: self.plan.speed,
            subject: self.subject(),
            start: clock::date_time(self.first_ms.div_euclid(1000)),
            end: clock::date_time(self.last_ms.div_euclid(1000) + 1),
            lines: u64::from(self.number),
            stream: self.plan.stream,
            expect_paged: !self.kind.is_innocent(),
        })
    }

    fn subject(&self) -> Subject {
        let seen = self.addresses.len().min(self.number as usize);
        match &self.addresses[..seen] {
            _ if self.plan.about_account => Subject::Account { account: self.account(0) },
            [address] => Subject::Address { address: *address },
            addresses => Subject::Addresses { addresses: addresses.to_vec() },
        }
    }
}

// === What a script sees of its episode ===

impl Episode {
    /// The number of this line, from 0.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn speed(&self) -> Speed {
        self.plan.speed
    }

    /// Whether this is its last line.
    pub(super) fn is_last(&self) -> bool {
        self.number + 1 == self.lines
    }

    /// Whose turn it is: the addresses take turns, so each has the same share.
    pub(super) fn address(&self) -> IpAddr {
        self.addresses[self.number as usize % self.addresses.len()]
    }

    pub(super) fn agent(&self) -> &'static str {
        let agents = self.kind.script().agents;
        let member = u64::from(self.number) % self.addresses.len() as u64;
        agents[(self.chosen(member) >> 20) as usize % agents.len()]
    }

    /// One of the people it is about; the first is whom a label about an account names.
    pub(super) fn account(&self, number: u32) -> String {
        match &self.named {
            Some(name) if number == 0 => name.clone(),
            _ => names::account(self.people.wrapping_add(number % PEOPLE_PER_EPISODE)),
        }
    }

    /// A number that is the same whenever the same thing is asked about.
    pub(super) fn chosen(&self, about: u64) -> u64 {
        mix(self.salt, about)
    }

    /// One of several, chosen once for the whole episode.
    pub(super) fn favourite<'a>(&self, choice: &[&'a str]) -> &'a str {
        choice[(self.chosen(1 << 33) >> 8) as usize % choice.len()]
    }

    /// The choice for this line when all are gone through in turn, from a place of this episode's own.
    pub(super) fn turn<'a>(&self, choice: &[&'a str]) -> &'a str {
        let begin = self.chosen(1 << 34) >> 8;
        choice[(begin.wrapping_add(u64::from(self.number)) % choice.len() as u64) as usize]
    }

    /// Writes a request of this episode.
    pub(super) fn send(&self, stage: &mut Stage<'_>, method: &str, target: &str, status: u32, bytes: u64) {
        stage.request(&Request { method, target, status, bytes, ..self.request() });
    }

    /// A request of this episode with everything but its purpose filled in.
    pub(super) fn request(&self) -> Request<'static> {
        Request {
            address: self.address(),
            user: "-",
            method: "GET",
            target: "/",
            protocol: HTTP_1,
            status: 200,
            bytes: 0,
            referrer: "-",
            agent: self.agent(),
        }
    }

    /// An event of this episode about one of its people.
    pub(super) fn event<'a>(&self, action: &'a str, outcome: &'a str, account: &'a str) -> Event<'a> {
        Event::of(action, outcome, account, self.address())
    }
}
