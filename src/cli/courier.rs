//! Made-up webhooks of the WhatsApp Business Platform for the demo, signed and delivered to its own endpoint: customers
//! who write and are answered, and then somebody who takes the number over.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use ring::hmac;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::output::say;
use crate::intake::now;

/// The account, its number and how that is written, of the shop.
const WABA: &str = "102290129340398";
const NUMBER_ID: &str = "106540352242922";
const NUMBER: &str = "15550783881";

/// When the takeover begins.
const TAKEOVER_AFTER: Duration = Duration::from_secs(20);
/// Between its steps.
const STEP: Duration = Duration::from_secs(5);
/// Whom the stranger writes to, at [`BETWEEN_STRANGERS`] one after the other.
const STRANGERS: u32 = 80;
const BETWEEN_STRANGERS: Duration = Duration::from_millis(150);

/// Delivers webhooks.
pub struct Courier {
    /// Where the service listens.
    pub address: SocketAddr,
    /// What deliveries are signed with.
    pub secret: String,
}

impl Courier {
    /// Delivers conversations and a takeover until `stop` turns true.
    pub async fn work(&self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let all = async { tokio::try_join!(self.converse(), self.take_over()).map(|_| ()) };
        tokio::select! {
            // An error means that whoever would say so is gone.
            _ = stop.wait_for(|stop| *stop) => Ok(()),
            done = all => done,
        }
    }

    /// A customer writes every second and is answered.
    async fn converse(&self) -> anyhow::Result<()> {
        for number in 0_u32.. {
            let customer = format!("1650555{:04}", number % 40);
            self.deliver(&message(&customer, number)).await?;
            for status in ["sent", "delivered", "read"] {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let id = format!("wamid.demo{number}answer");
                self.deliver(&status_of(&id, status, &customer, "service")).await?;
            }
        }
        Ok(())
    }

    /// The PIN of the number is reset, a partner let in, and strangers get a prize in the name of the shop.
    async fn take_over(&self) -> anyhow::Result<()> {
        tokio::time::sleep(TAKEOVER_AFTER).await;
        say(
            "          staged  A number is taken over: PIN reset, partner added, messages to strangers. (signed webhooks)",
        );
        for event in ["PIN_RESET_REQUEST", "PIN_REQUEST_SUCCESS"] {
            let value =
                json!({"display_phone_number": NUMBER, "event": event, "requester": "61555822107539"});
            self.deliver(&management("security", &value)).await?;
            tokio::time::sleep(STEP).await;
        }
        let waba = json!({"waba_id": WABA, "owner_business_id": "2329417887457253",
                          "solution_partner_business_ids": ["2949482758682047"]});
        let value = json!({"event": "PARTNER_ADDED", "waba_info": waba});
        self.deliver(&management("account_update", &value)).await?;
        tokio::time::sleep(STEP).await;
        for stranger in 0..STRANGERS {
            let (id, recipient) =
                (format!("wamid.demostranger{stranger}"), format!("4915{:09}", stranger * 1_237_913));
            self.deliver(&status_of(&id, "sent", &recipient, "marketing")).await?;
            tokio::time::sleep(BETWEEN_STRANGERS).await;
        }
        Ok(())
    }

    async fn deliver(&self, body: &Value) -> anyhow::Result<()> {
        let body = body.to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let digits = hmac::sign(&key, body.as_bytes());
        let digits: String = digits.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let request = format!(
            "POST /webhooks/whatsapp HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             X-Hub-Signature-256: sha256={digits}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut socket = TcpStream::connect(self.address).await.context("cannot deliver a webhook")?;
        socket.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        match answer.lines().next() {
            Some(line) if line.contains(" 200 ") => Ok(()),
            line => bail!("a webhook was answered with {}", line.unwrap_or("nothing")),
        }
    }
}

fn seconds() -> i64 {
    now().as_micros() / 1_000_000
}

fn update(entry: &Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [entry]})
}

fn management(field: &str, value: &Value) -> Value {
    update(&json!({"id": WABA, "time": seconds(), "changes": [{"field": field, "value": value}]}))
}

fn of_messages(name: &str, items: &Value) -> Value {
    let metadata = json!({"display_phone_number": NUMBER, "phone_number_id": NUMBER_ID});
    let mut value = json!({"messaging_product": "whatsapp", "metadata": metadata});
    value[name] = items.clone();
    update(&json!({"id": WABA, "changes": [{"field": "messages", "value": value}]}))
}

fn message(customer: &str, number: u32) -> Value {
    let at = seconds().to_string();
    let text = json!({"body": "Does it come in another color?"});
    let id = format!("wamid.demo{number}question");
    of_messages(
        "messages",
        &json!([{"from": customer, "id": id, "timestamp": at, "type": "text", "text": text}]),
    )
}

fn status_of(id: &str, status: &str, recipient: &str, category: &str) -> Value {
    let kind = if category == "service" { "free_customer_service" } else { "regular" };
    let pricing = json!({"billable": category != "service", "pricing_model": "PMP", "type": kind, "category": category});
    let status = json!({"id": id, "status": status, "timestamp": seconds().to_string(), "recipient_id": recipient,
                        "pricing": pricing});
    of_messages("statuses", &json!([status]))
}
