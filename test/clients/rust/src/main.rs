//! Apache's Rust client, driven by the test: commands come as lines of JSON on standard input, each is answered by one line on
//! standard output. ../driver.ts says what the commands are; the judge is ../clients.test.ts. This version of the client has no push consumer
//! and no nack.

use std::collections::HashMap;
use std::io::BufRead;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rocketmq::conf::{ClientOption, ProducerOption, SimpleConsumerOption};
use rocketmq::model::common::{FilterExpression, FilterType};
use rocketmq::model::message::{MessageBuilder, MessageView};
use rocketmq::model::transaction::{Transaction, TransactionResolution};
use rocketmq::{Producer, SimpleConsumer};
use serde_json::{json, Value};

struct Consumer {
    client: SimpleConsumer,
    topic: String,
    filter: FilterExpression,
}

#[derive(Default)]
struct State {
    producer: Option<Producer>,
    consumers: HashMap<String, Consumer>,
    received: HashMap<String, MessageView>,
}

#[tokio::main]
async fn main() {
    let mut state = State::default();
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = match carry_out(&mut state, &asked).await {
            Ok(answer) => answer,
            Err(error) => json!({ "error": error }),
        };
        println!("{answer}");
        if asked["do"] == "close" {
            return;
        }
    }
}

async fn carry_out(state: &mut State, asked: &Value) -> Result<Value, String> {
    match text(asked, "do").as_str() {
        "producer" => {
            let mut option = ProducerOption::default();
            option.set_topics(texts(asked, "topics"));
            let checker = Box::new(|_, _| TransactionResolution::UNKNOWN);
            let mut producer = Producer::new_transaction_producer(option, client_option(), checker).map_err(said)?;
            producer.start().await.map_err(said)?;
            state.producer = Some(producer);
            Ok(json!({}))
        }
        "send" => {
            let message = builder(asked).build().map_err(said)?;
            let producer = state.producer.as_ref().ok_or("There is no producer.")?;
            let receipt = producer.send(message).await.map_err(said)?;
            Ok(json!({ "messageId": receipt.message_id() }))
        }
        "transaction" => {
            let message = builder(asked).enable_transaction().build().map_err(said)?;
            let producer = state.producer.as_ref().ok_or("There is no producer.")?;
            let transaction = producer.send_transaction_message(message).await.map_err(said)?;
            let message_id = transaction.message_id().to_string();
            if text(asked, "end") == "commit" {
                transaction.commit().await.map_err(said)?;
            } else {
                transaction.rollback().await.map_err(said)?;
            }
            Ok(json!({ "messageId": message_id }))
        }
        "consumer" => {
            let mut option = SimpleConsumerOption::default();
            option.set_consumer_group(text(asked, "group"));
            option.set_topics(vec![text(asked, "topic")]);
            let mut client = SimpleConsumer::new(option, client_option()).map_err(said)?;
            client.start().await.map_err(said)?;
            let kind = if asked["sql"] == true { FilterType::Sql } else { FilterType::Tag };
            let filter = FilterExpression::new(kind, text(asked, "filter"));
            let consumer = Consumer { client, topic: text(asked, "topic"), filter };
            state.consumers.insert(text(asked, "name"), consumer);
            Ok(json!({}))
        }
        "receive" => {
            let consumer = &state.consumers[&text(asked, "name")];
            let most = asked["max"].as_i64().unwrap_or(16) as i32;
            let invisible = Duration::from_millis(asked["invisibleMs"].as_u64().unwrap_or(10_000));
            let views = consumer.client.receive_with(&consumer.topic, &consumer.filter, most, invisible).await.map_err(said)?;
            let messages: Vec<Value> = views.iter().map(shown).collect();
            for view in views {
                state.received.insert(view.message_id().to_string(), view);
            }
            Ok(json!({ "messages": messages }))
        }
        "ack" => {
            let consumer = &state.consumers[&text(asked, "name")];
            consumer.client.ack(&state.received[&text(asked, "messageId")]).await.map_err(said)?;
            Ok(json!({}))
        }
        "close" => {
            if let Some(producer) = state.producer.take() {
                producer.shutdown().await.map_err(said)?;
            }
            for (_, consumer) in state.consumers.drain() {
                consumer.client.shutdown().await.map_err(said)?;
            }
            Ok(json!({}))
        }
        other => Err(format!("There is no command {other}.")),
    }
}

fn client_option() -> ClientOption {
    let mut option = ClientOption::default();
    option.set_access_url(std::env::var("CLIENT_ENDPOINT").unwrap());
    option.set_enable_tls(std::env::var("CLIENT_TLS").is_ok_and(|tls| tls == "true"));
    option.set_long_polling_timeout(Duration::from_secs(8));
    option.set_timeout(Duration::from_secs(15));
    if let Ok(username) = std::env::var("CLIENT_USERNAME") {
        option.set_access_key(username);
        option.set_secret_key(std::env::var("CLIENT_PASSWORD").unwrap());
    }
    option
}

fn builder(asked: &Value) -> MessageBuilder {
    let mut builder = MessageBuilder::builder()
        .set_topic(text(asked, "topic"))
        .set_body(text(asked, "body").into_bytes())
        .set_keys(texts(asked, "keys"));
    if asked["tag"].is_string() {
        builder = builder.set_tag(text(asked, "tag"));
    }
    if let Some(properties) = asked["properties"].as_object() {
        let given: HashMap<String, String> =
            properties.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_string())).collect();
        builder = builder.set_properties(given);
    }
    if asked["messageGroup"].is_string() {
        builder = builder.set_message_group(text(asked, "messageGroup"));
    }
    if let Some(ms) = asked["deliverInMs"].as_u64() {
        let due = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_millis(ms);
        builder = builder.set_delivery_timestamp(due.as_secs() as i64);
    }
    builder
}

fn shown(view: &MessageView) -> Value {
    json!({
        "messageId": view.message_id(),
        "body": String::from_utf8_lossy(view.body()),
        "tag": view.tag().unwrap_or_default(),
        "keys": view.keys(),
        "properties": view.properties(),
        "attempt": view.delivery_attempt(),
    })
}

fn text(asked: &Value, name: &str) -> String {
    asked[name].as_str().unwrap_or_default().to_string()
}

fn texts(asked: &Value, name: &str) -> Vec<String> {
    asked[name].as_array().map(|all| all.iter().map(|one| one.as_str().unwrap_or_default().to_string()).collect()).unwrap_or_default()
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
