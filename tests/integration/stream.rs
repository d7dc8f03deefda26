//! The hub as publishers and subscribers meet it.

use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use serde_json::{Value, json};
use watchbell::alert::{Alert, Condition, Evidence, RuleName};
use watchbell::event::{self, Event, Schema, Timestamp, field};
use watchbell::rules::{Mode, Severity};
use watchbell::stream::{Change, Frame, Hub, Limits, SubscribeError, Subscriber, Subscription};

pub fn hub(limits: Limits) -> (Arc<Hub>, Registry) {
    let registry = Registry::new();
    (Hub::new(limits, &registry).unwrap(), registry)
}

pub fn alert(rule: &str, severity: Severity, tenant: &str, address: &str) -> Alert {
    let subject = vec![("source.ip".to_owned(), address.to_owned())];
    let at = Timestamp::from_seconds(1_790_000_000);
    Alert {
        id: Alert::id_of(rule, tenant, &subject, at),
        rule: Arc::new(RuleName {
            id: format!("id-of-{rule}"),
            name: rule.to_owned(),
            title: format!("Title of {rule}"),
        }),
        severity,
        mode: Mode::Live,
        tenant: tenant.to_owned(),
        subject,
        opened_at: at,
        last_seen_at: at,
        resolved_at: None,
        observed: 12.0,
        condition: Arc::new(Condition {
            kind: "event_count",
            fields: Vec::new(),
            comparisons: vec![("gt", 10.0)],
            timespan: Duration::from_secs(300),
            text: "> 10 events in 5m".to_owned(),
        }),
        evidence: Evidence::default(),
    }
}

/// Publishes a request of `address` for `path`, answered with `status`.
pub fn publish_request(hub: &Hub, schema: &Schema, address: &str, path: &str, status: i64) {
    let mut event = Event::new(schema);
    event.set(field::SOURCE_IP, event::Value::text(address));
    event.set(field::URL_PATH, event::Value::text(path));
    event.set(field::STATUS_CODE, event::Value::Int(status));
    hub.publish_event("nginx", "", &event);
}

fn subscribe(hub: &Arc<Hub>, request: &Value) -> Result<Subscriber, SubscribeError> {
    hub.subscribe(Subscription::from_json(request)?)
}

fn parsed(frame: &Frame) -> Value {
    serde_json::from_str(frame.as_str()).unwrap()
}

async fn next(subscriber: &Subscriber) -> Value {
    let frame = tokio::time::timeout(Duration::from_secs(20), subscriber.next()).await;
    parsed(&frame.expect("a frame must come").expect("the hub must be open"))
}

/// Subscribes and reads up to the frame that says that the subscription is in force.
async fn subscribed(hub: &Arc<Hub>, request: Value) -> Subscriber {
    let subscriber = subscribe(hub, &request).unwrap();
    assert_eq!(next(&subscriber).await["type"], "hello");
    assert_eq!(next(&subscriber).await["type"], "subscribed");
    subscriber
}

/// All frames that wait.
fn waiting(subscriber: &Subscriber) -> Vec<Value> {
    std::iter::from_fn(|| subscriber.try_next()).map(|frame| parsed(&frame)).collect()
}

pub fn count(registry: &Registry, series: &str) -> f64 {
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("{series} is not in\n{text}"))
}

#[tokio::test]
async fn an_alert_that_rises_is_told_to_those_who_ask_for_what_it_has_become() {
    let (hub, _) = hub(Limits::default());
    let request = json!({"subscribe": ["alerts"], "alerts": {"severity": "high"}});
    let subscriber = subscribed(&hub, request).await;
    hub.publish_alert(Change::Opened, &alert("chain", Severity::Medium, "", "192.0.2.1"));
    let before = Severity::Medium;
    hub.publish_alert(Change::Escalated { before }, &alert("chain", Severity::Critical, "", "192.0.2.1"));
    let told = waiting(&subscriber);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["change"], &told[0]["alert"]["severity"]),
        (&json!("escalated"), &json!("critical"))
    );
}

#[tokio::test]
async fn alerts_are_numbered_without_gaps_and_filtered() {
    let (hub, registry) = hub(Limits::default());
    hub.publish_alert(Change::Opened, &alert("before", Severity::High, "", "192.0.2.1"));
    let everything = subscribed(&hub, json!({"subscribe": ["alerts"]})).await;
    let filters = [
        (json!({"rule": "brute_*"}), vec![2, 3]),
        (json!({"rule": ["id-of-scan", "nothing"]}), vec![4]),
        (json!({"severity": "high"}), vec![2, 3]),
        (json!({"tenant": "acme"}), vec![3]),
        (json!({"subject": {"source.ip": "192.0.2.1"}}), vec![2, 4]),
        (json!({"subject": {"c-ip": "192.0.2.1"}, "severity": "critical"}), vec![]),
        (json!({"rule": "brute"}), vec![]),
    ];
    let mut subscribers = Vec::new();
    for (filter, wanted) in filters {
        let subscriber = subscribed(&hub, json!({"subscribe": ["alerts"], "alerts": filter})).await;
        subscribers.push((subscriber, wanted));
    }
    let of_acme = subscribed(&hub, json!({"subscribe": ["alerts"], "tenant": "acme"})).await;
    hub.publish_alert(Change::Opened, &alert("brute_force", Severity::High, "", "192.0.2.1"));
    hub.publish_alert(Change::Updated, &alert("brute_force", Severity::Critical, "acme", "192.0.2.2"));
    hub.publish_alert(Change::Resolved, &alert("scan", Severity::Low, "", "192.0.2.1"));
    let all = waiting(&everything);
    let told: Vec<_> = all.iter().map(|frame| (frame["seq"].as_u64().unwrap(), &frame["change"])).collect();
    assert_eq!(told, [(2, &json!("opened")), (3, &json!("updated")), (4, &json!("resolved"))]);
    assert_eq!(all[0]["alert"]["rule"]["name"], "brute_force");
    assert_eq!(all[0]["alert"]["subject"]["source.ip"], "192.0.2.1");
    for (subscriber, wanted) in &subscribers {
        let seqs: Vec<u64> = waiting(subscriber).iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
        assert_eq!(&seqs, wanted);
    }
    assert_eq!(waiting(&of_acme).len(), 1);
    assert_eq!(count(&registry, "watchbell_stream_frames_total{topic=\"alerts\"}"), 12.0);
    assert_eq!(count(&registry, "watchbell_stream_subscribers"), 9.0);
    drop((everything, subscribers, of_acme));
    assert_eq!(count(&registry, "watchbell_stream_subscribers"), 0.0);
}

#[tokio::test]
async fn an_event_goes_to_those_whose_filter_it_matches() {
    let (hub, _registry) = hub(Limits::default());
    let schema = Arc::new(Schema::new());
    hub.set_schema(Arc::clone(&schema));
    assert!(!hub.wants_events());
    let admin = json!({"http.response.status_code": [401, 403], "url.path|contains": "/admin"});
    let of_admin = subscribed(&hub, json!({"subscribe": ["events"], "events": admin})).await;
    let also_of_admin = subscribed(&hub, json!({"subscribe": ["events"], "events": admin})).await;
    let of_one = subscribed(&hub, json!({"subscribe": ["events"], "events": {"c-ip": "192.0.2.1"}})).await;
    assert!(hub.wants_events());
    publish_request(&hub, &schema, "192.0.2.1", "/x", 200);
    publish_request(&hub, &schema, "192.0.2.2", "/Admin/y", 403);
    publish_request(&hub, &schema, "192.0.2.2", "/nothing", 403);
    let everything = subscribed(&hub, json!({"subscribe": ["events"]})).await;
    publish_request(&hub, &schema, "192.0.2.1", "/admin", 401);
    let seqs = |subscriber: &Subscriber| -> Vec<u64> {
        waiting(subscriber).iter().map(|frame| frame["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs(&of_admin), [2, 3]);
    assert_eq!(seqs(&also_of_admin), [2, 3]);
    assert_eq!(seqs(&of_one), [1, 3]);
    assert_eq!(
        waiting(&everything),
        [json!({"type": "event", "seq": 3, "source": "nginx", "event":
            {"source.ip": "192.0.2.1", "url.path": "/admin", "http.response.status_code": 401}})]
    );
    // A changed filter takes the place of the former one.
    of_one
        .change(
            Subscription::from_json(&json!({"subscribe": ["events"], "events": {"url.path": "/new"}}))
                .unwrap(),
        )
        .unwrap();
    assert_eq!(next(&of_one).await["type"], "subscribed");
    publish_request(&hub, &schema, "192.0.2.1", "/x", 200);
    publish_request(&hub, &schema, "192.0.2.9", "/new", 200);
    assert_eq!(waiting(&of_one)[0]["event"]["url.path"], "/new");
    drop((of_admin, also_of_admin, of_one));
    assert!(hub.wants_events());
    drop(everything);
    assert!(!hub.wants_events());
}

#[tokio::test]
async fn wrong_filters_are_refused_and_leave_everything_as_it_was() {
    let (hub, registry) = hub(Limits::default());
    for (request, expected) in [
        (json!({"subscribe": ["events"], "events": {"source.port": 1}}), "such as source.ip"),
        (json!({"subscribe": ["events"], "events": {"url.path|contian": "x"}}), "one of the modifiers"),
        (json!({"subscribe": ["alerts"], "alerts": {"subject": {"user": "ann"}}}), "alerts.subject.user"),
    ] {
        let error = subscribe(&hub, &request).map(drop).unwrap_err().to_string();
        assert!(error.contains(expected), "{request}: {error}");
    }
    let subscriber = subscribed(&hub, json!({"subscribe": ["alerts"]})).await;
    let wrong =
        Subscription::from_json(&json!({"subscribe": ["events"], "events": {"no.field": 1}})).unwrap();
    assert!(matches!(subscriber.change(wrong), Err(SubscribeError::Invalid(_))));
    hub.publish_alert(Change::Opened, &alert("a", Severity::Low, "", "192.0.2.1"));
    assert_eq!(next(&subscriber).await["type"], "alert");
    assert_eq!(count(&registry, "watchbell_stream_rejected_total{reason=\"invalid\"}"), 3.0);
}

#[tokio::test]
async fn who_sleeps_is_told_what_was_missed_and_holds_nobody_up() {
    let limits = Limits { max_queued_frames: 16, reserved_alert_frames: 4, ..Limits::default() };
    let (hub, registry) = hub(limits);
    let schema = Arc::new(Schema::new());
    let request = json!({"subscribe": ["alerts", "events"]});
    let (sleeper, reader) = (subscribed(&hub, request.clone()).await, subscribed(&hub, request).await);
    let mut read = Vec::new();
    for number in 0..40 {
        publish_request(&hub, &schema, "192.0.2.1", "/x", 200);
        hub.publish_alert(Change::Opened, &alert("a", Severity::Low, "", &format!("192.0.2.{number}")));
        read.extend(waiting(&reader));
    }
    assert_eq!(read.len(), 80, "whoever reads gets everything");
    let told = waiting(&sleeper);
    let of = |kind: &str| told.iter().filter(|frame| frame["type"] == kind).count();
    assert_eq!((of("alert"), of("event"), of("missed")), (16, 0, 2));
    assert_eq!(told[16], json!({"type": "missed", "topic": "alerts", "count": 24, "from": 17, "to": 40}));
    assert_eq!(told[17], json!({"type": "missed", "topic": "events", "count": 40, "from": 1, "to": 40}));
    assert_eq!(count(&registry, "watchbell_stream_missed_total{topic=\"alerts\"}"), 24.0);
    assert_eq!(count(&registry, "watchbell_stream_missed_total{topic=\"events\"}"), 40.0);
    publish_request(&hub, &schema, "192.0.2.1", "/x", 200);
    assert_eq!(waiting(&sleeper)[0]["seq"], 41, "whoever wakes up gets what comes next");
}

#[tokio::test]
async fn there_are_no_more_subscribers_than_may_be() {
    let (hub, registry) = hub(Limits { max_subscribers: 2, ..Limits::default() });
    let first = subscribe(&hub, &json!({"subscribe": ["alerts"]})).unwrap();
    let _second = subscribe(&hub, &json!({"subscribe": ["alerts"]})).unwrap();
    assert_eq!(subscribe(&hub, &json!({"subscribe": []})).map(drop), Err(SubscribeError::SubscribersFull(2)));
    assert_eq!(count(&registry, "watchbell_stream_rejected_total{reason=\"subscribers_full\"}"), 1.0);
    drop(first);
    assert!(subscribe(&hub, &json!({"subscribe": ["alerts"]})).is_ok());
}

#[tokio::test]
async fn all_filters_together_are_bounded() {
    let (hub, _registry) = hub(Limits::default());
    let filter = |number: usize| {
        let values: Vec<String> = (0..250).map(|value| format!("{number}-{value}")).collect();
        json!({"subscribe": ["events"], "events": {"url.path": values}})
    };
    let subscribers: Vec<_> = (0..200).map_while(|number| subscribe(&hub, &filter(number)).ok()).collect();
    assert_eq!(subscribers.len(), 80);
    assert_eq!(subscribe(&hub, &filter(500)).map(drop), Err(SubscribeError::FiltersFull));
    assert!(subscribe(&hub, &filter(0)).is_ok(), "a filter that is there already costs nothing");
    drop(subscribers);
    assert!(subscribe(&hub, &filter(500)).is_ok());
}

#[tokio::test]
async fn filters_follow_the_schema() {
    let (hub, _registry) = hub(Limits::default());
    let with = |names: &[&str]| {
        let mut schema = Schema::new();
        for name in names {
            schema.intern(name);
        }
        Arc::new(schema)
    };
    let first = with(&["custom.a", "custom.b"]);
    hub.set_schema(Arc::clone(&first));
    let request = |field: &str| json!({"subscribe": ["events"], "events": {field: "x"}});
    let (a, b) = (subscribed(&hub, request("custom.a")).await, subscribed(&hub, request("custom.b")).await);
    let second = with(&["custom.b"]);
    hub.set_schema(Arc::clone(&second));
    let mut event = Event::new(&second);
    event.set(second.find("custom.b").unwrap(), event::Value::text("x"));
    hub.publish_event("s", "", &event);
    assert_eq!(waiting(&b)[0]["event"]["custom.b"], "x");
    let told = waiting(&a);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["error"].as_str().unwrap().contains("events.custom.a"), "{told:?}");
}

#[tokio::test]
async fn at_the_end_subscribers_get_what_waits_for_them() {
    let (hub, _registry) = hub(Limits::default());
    let subscriber = subscribed(&hub, json!({"subscribe": ["alerts", "statistics"]})).await;
    hub.publish_alert(Change::Opened, &alert("last", Severity::Low, "", "192.0.2.1"));
    hub.publish_statistics(&json!({"events": 3}));
    hub.close();
    assert_eq!(next(&subscriber).await["alert"]["rule"]["name"], "last");
    assert_eq!(next(&subscriber).await, json!({"type": "statistics", "events": 3}));
    assert!(subscriber.next().await.is_none());
    assert_eq!(subscribe(&hub, &json!({"subscribe": ["alerts"]})).map(drop), Err(SubscribeError::Stopping));
}

/// Many threads subscribe, change and leave while frames are published: none is lost to whoever stays.
#[test]
fn whoever_stays_gets_everything_while_others_come_and_go() {
    let (hub, _registry) =
        hub(Limits { max_queued_frames: 100_000, max_queued_bytes: 1 << 30, ..Limits::default() });
    let schema = Arc::new(Schema::new());
    hub.set_schema(Arc::clone(&schema));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stays =
        runtime.block_on(subscribed(&hub, json!({"subscribe": ["events"], "events": {"url.path": "/x"}})));
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let hub = &hub;
            scope.spawn(move || {
                for turn in 0..60 {
                    let events = json!({"url.path": format!("/{thread}/{turn}")});
                    let other = subscribe(hub, &json!({"subscribe": ["events"], "events": events})).unwrap();
                    let change = json!({"subscribe": ["events"], "events": {"url.path": "/x"}});
                    other.change(Subscription::from_json(&change).unwrap()).unwrap();
                }
            });
        }
        for _ in 0..3_000 {
            publish_request(&hub, &schema, "192.0.2.1", "/x", 200);
        }
    });
    let seqs: Vec<u64> = waiting(&stays).iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=3_000).collect::<Vec<_>>());
}
