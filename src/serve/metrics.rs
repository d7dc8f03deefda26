//! What serving counts. Every series is there, at 0, from the start.

use axum::http::StatusCode;
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntCounter, IntGauge, Registry};

use crate::telemetry::Register;

/// What stands before the name in the path of a generic webhook.
pub const GENERIC: &str = "/webhooks/generic/";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/metrics`
    Metrics,
    /// `/healthz`
    Health,
    /// `/readyz`
    Ready,
    /// `/v1/stream`
    Stream,
    /// `/v1/events`
    Events,
    /// `/v1/sends`
    Sends,
    /// `/v1/rules/what-if`
    WhatIf,
    /// `/webhooks/whatsapp`
    WhatsApp,
    /// `/webhooks/generic/{source}`
    Generic,
    /// `/webhooks/twilio`
    Twilio,
    /// Anything else.
    Other,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Metrics,
        Self::Health,
        Self::Ready,
        Self::Stream,
        Self::Events,
        Self::Sends,
        Self::WhatIf,
        Self::WhatsApp,
        Self::Generic,
        Self::Twilio,
        Self::Other,
    ];

    /// The endpoint at a path.
    pub fn of(path: &str) -> Self {
        if path.strip_prefix(GENERIC).is_some_and(|name| !name.is_empty() && !name.contains('/')) {
            return Self::Generic;
        }
        Self::ALL.into_iter().find(|endpoint| endpoint.path() == path).unwrap_or(Self::Other)
    }

    /// Whether whoever asks shows by a signature who it is, and not by a token.
    pub const fn is_webhook(self) -> bool {
        matches!(self, Self::WhatsApp | Self::Generic | Self::Twilio)
    }

    /// Its path, as routes are written.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/metrics",
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
            Self::Stream => "/v1/stream",
            Self::Events => "/v1/events",
            Self::Sends => "/v1/sends",
            Self::WhatIf => "/v1/rules/what-if",
            Self::WhatsApp => "/webhooks/whatsapp",
            Self::Generic => "/webhooks/generic/{source}",
            Self::Twilio => "/webhooks/twilio",
            Self::Other => "",
        }
    }

    /// The word for it in metrics and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Health => "healthz",
            Self::Ready => "readyz",
            Self::Stream => "stream",
            Self::Events => "events",
            Self::Sends => "sends",
            Self::WhatIf => "what_if",
            Self::WhatsApp => "webhooks_whatsapp",
            Self::Generic => "webhooks_generic",
            Self::Twilio => "webhooks_twilio",
            Self::Other => "other",
        }
    }
}

/// The codes that are answered.
const CODES: [&str; 15] = [
    "101", "200", "202", "400", "401", "403", "404", "405", "408", "413", "415", "426", "429", "503", "other",
];

/// The counters of the server.
pub struct Metrics {
    requests: Vec<[IntCounter; CODES.len()]>,
    rate_limited: [IntCounter; Endpoint::ALL.len()],
    /// Requests without the right token.
    pub authentication_failures: IntCounter,
    /// Connections at the moment.
    pub connections: IntGauge,
    /// Handshakes of TLS that succeeded.
    pub tls_accepted: IntCounter,
    /// Handshakes that failed.
    pub tls_failed: IntCounter,
    /// Handshakes that took too long.
    pub tls_slow: IntCounter,
    /// Handshakes refused because a client began too many.
    pub tls_limited: IntCounter,
    /// Webhooks without the right certificate.
    pub certificates_refused: IntCounter,
    /// Connections beyond the limit.
    pub refused_connections: IntCounter,
}

impl Metrics {
    /// Registers the counters, and those of the process unless somebody has.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let register = Register(registry);
        let requests = register.counters(
            "watchbell_http_requests_total",
            "Requests by endpoint and status code.",
            &["endpoint", "code"],
        )?;
        let rate_limited = register.counters(
            "watchbell_http_rate_limited_total",
            "Requests refused because a client asked too often, by endpoint.",
            &["endpoint"],
        )?;
        let handshakes = register.counters(
            "watchbell_tls_handshakes_total",
            "Handshakes of TLS, by outcome.",
            &["outcome"],
        )?;
        let connections =
            register.gauge("watchbell_http_connections", "Open connections, websockets included.")?;
        match registry.register(Box::new(ProcessCollector::for_self())) {
            Ok(()) | Err(prometheus::Error::AlreadyReg) => {}
            Err(error) => return Err(error),
        }
        let of = |endpoint: Endpoint| CODES.map(|code| requests.with_label_values(&[endpoint.name(), code]));
        Ok(Self {
            requests: Endpoint::ALL.into_iter().map(of).collect(),
            rate_limited: Endpoint::ALL.map(|endpoint| rate_limited.with_label_values(&[endpoint.name()])),
            authentication_failures: register.counter(
                "watchbell_http_authentication_failures_total",
                "Requests without the right token.",
            )?,
            connections,
            tls_accepted: handshakes.with_label_values(&["accepted"]),
            tls_failed: handshakes.with_label_values(&["failed"]),
            tls_slow: handshakes.with_label_values(&["slow"]),
            tls_limited: handshakes.with_label_values(&["limited"]),
            certificates_refused: register.counter(
                "watchbell_http_certificates_refused_total",
                "Webhooks refused because the client did not show the right certificate.",
            )?,
            refused_connections: register.counter(
                "watchbell_http_connections_refused_total",
                "Connections closed at once because there were as many as there may be.",
            )?,
        })
    }

    /// A request was answered.
    pub fn answered(&self, endpoint: Endpoint, status: StatusCode) {
        let place = CODES.iter().position(|code| *code == status.as_str()).unwrap_or(CODES.len() - 1);
        self.requests[endpoint as usize][place].inc();
        if status == StatusCode::TOO_MANY_REQUESTS {
            self.rate_limited[endpoint as usize].inc();
        }
    }
}
