//! The Rust of the library's pages is compiled: each block of a page stands here too, letter by letter but for white space.

#![allow(dead_code, reason = "most blocks are there to be compiled: nobody answers at their hosts")]

use std::error::Error;

type Whatever = Result<(), Box<dyn Error>>;

/// The pages, but for tables and texts.
const PAGES: &[(&str, &str)] = &[
    ("anything", include_str!("../../../docs/library/anything.md")),
    ("download", include_str!("../../../docs/library/download.md")),
    ("grpc", include_str!("../../../docs/library/grpc.md")),
    ("llm", include_str!("../../../docs/library/llm.md")),
    ("observe", include_str!("../../../docs/library/observe.md")),
    ("outbox", include_str!("../../../docs/library/outbox.md")),
    ("rest", include_str!("../../../docs/library/rest.md")),
    ("testing", include_str!("../../../docs/library/testing.md")),
    ("tower", include_str!("../../../docs/library/tower.md")),
    ("websocket", include_str!("../../../docs/library/websocket.md")),
];

#[test]
fn each_block_of_a_page_is_compiled() {
    // sqlx isn't among our dependencies: its program is a workspace of its own.
    let sources = [include_str!("pages.rs"), include_str!("../../../examples/sqlx/src/main.rs")];
    let compiled = sources.map(squeezed).concat();
    for (page, text) in PAGES {
        let blocks = blocks(text);
        assert!(!blocks.is_empty(), "{page} has no block");
        for block in blocks {
            assert!(compiled.contains(&squeezed(&block)), "{page}: this isn't compiled:\n{block}");
        }
    }
}

#[test]
fn blocks_are_found_whole() {
    let page = "text\n\n    let a = f(\n        1,\n    );\n\n    b\n\ntext\n\n    c\n";
    assert_eq!(blocks(page), ["let a = f(\n    1,\n);\n\nb\n", "c\n"]);
    assert_eq!(squeezed("let a = f(\n    1,\n);\n"), squeezed("let a = f(1);"));
    assert_ne!(squeezed("f(1)"), squeezed("f(2)"));
}

/// What is indented by four spaces, block by block.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in page.lines() {
        let last = blocks.len() - 1;
        match line.strip_prefix("    ") {
            Some(code) => blocks[last] += &format!("{code}\n"),
            // It may be within a block.
            None if line.is_empty() => blocks[last] += "\n",
            None if blocks[last].trim().is_empty() => blocks[last].clear(),
            None => blocks.push(String::new()),
        }
    }
    let trimmed = blocks.iter().map(|block| block.trim_matches('\n'));
    trimmed.filter(|block| !block.is_empty()).map(|block| format!("{block}\n")).collect()
}

/// Without white space, and without the commas that come with a line's end.
fn squeezed(code: &str) -> String {
    let code: String = code.split_whitespace().collect();
    [")", "]", "}"].iter().fold(code, |code, end| code.replace(&format!(",{end}"), end))
}

mod anything {
    use mainstay::{BreakKind, Failure, Mainstay, UpstreamBuilder};

    #[derive(Debug)]
    enum DbError {
        Connect(std::io::Error),
        NotUnique(String),
        Busy,
        Other,
    }

    impl std::fmt::Display for DbError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{self:?}")
        }
    }

    impl std::error::Error for DbError {}

    struct Connection;

    impl Connection {
        async fn query(&self, _: &str, _: std::time::Duration) -> Result<u32, DbError> {
            Err(DbError::Busy)
        }
    }

    async fn connect(_: &str, _: u16) -> Result<Connection, DbError> {
        Ok(Connection)
    }

    async fn a_database() -> super::Whatever {
        let db = UpstreamBuilder::new("db")
            .endpoint("10.0.0.1:5432")
            .endpoint_in_tier("10.0.0.2:5432", 1);
        let client = Mainstay::builder().upstream(db).build()?;
        let db = client.upstream("db").expect("it was just given");

        let rows = db
            .call(|endpoint, attempt| async move {
                let connection = connect(endpoint.host(), endpoint.port()).await?;
                connection.query("select ...", attempt.time_left).await
            })
            .classify(|error| match error {
                DbError::Connect(_) => Failure::not_sent(BreakKind::ConnectRefused),
                DbError::NotUnique(_) => Failure::answer(),
                DbError::Busy => Failure::throttled(None),
                _ => Failure::unknown(),
            })
            .idempotent()
            .label("select orders")
            .send()
            .await?;
        assert_eq!(rows, 0);
        Ok(())
    }
}

mod download {
    use mainstay::{Mainstay, Profile, UpstreamBuilder};

    async fn into_a_file(mut file: impl tokio::io::AsyncWrite + Unpin) -> super::Whatever {
        let files = UpstreamBuilder::new("files")
            .profile(Profile::Download)
            .endpoint("https://files.example");
        let client = Mainstay::builder().upstream(files).build()?;

        let response = client.get("https://files.example/image.iso").send().await?;
        let bytes = response.error_for_status()?.copy_to(&mut file).await?;
        assert!(bytes > 0);
        Ok(())
    }
}

mod grpc {
    use mainstay::tower::{AttemptBody, MainstayLayer};
    use mainstay::{Mainstay, UpstreamBuilder};
    use tonic::transport::Endpoint;

    /// As it is generated.
    struct GreeterClient<T>(tonic::client::Grpc<T>);

    impl<T> GreeterClient<T>
    where
        T: tonic::client::GrpcService<tonic::body::Body>,
    {
        fn new(inner: T) -> Self {
            Self(tonic::client::Grpc::new(inner))
        }
    }

    async fn around_a_channel() -> super::Whatever {
        let greeter = UpstreamBuilder::new("greeter")
            .endpoint("https://greeter.example")
            .set("connect.http2", "always")
            .set("health.kind", "grpc");
        let client = Mainstay::builder().upstream(greeter).build()?;
        let greeter = client.upstream("greeter").expect("it was just given");

        let channel = Endpoint::from_static("https://greeter.example").connect_lazy();
        let channel = tower::ServiceBuilder::new()
            .layer(MainstayLayer::new(&greeter).keep_uri())
            .map_request(|request: http::Request<AttemptBody>| request.map(tonic::body::Body::new))
            .service(channel);
        let mut client = GreeterClient::new(channel);
        client.0.ready().await.map_err(|error| error.to_string())?;
        Ok(())
    }

    async fn elsewhere_too() -> super::Whatever {
        use hyper_util::client::legacy::Client;
        use hyper_util::rt::TokioExecutor;
        use mainstay::tower::Connector;

        let greeter = UpstreamBuilder::new("greeter")
            .endpoint("https://a.greeter.example")
            .endpoint("https://b.greeter.example")
            .set("connect.http2", "always")
            .set("health.kind", "grpc");
        let client = Mainstay::builder().upstream(greeter).build()?;
        let greeter = client.upstream("greeter").expect("it was just given");

        let inner: Client<_, AttemptBody> =
            Client::builder(TokioExecutor::new()).http2_only(true).build(Connector::of(&greeter));
        let service =
            tower::ServiceBuilder::new().layer(MainstayLayer::new(&greeter)).service(inner);
        let mut client = GreeterClient::new(service);
        client.0.ready().await?;
        Ok(())
    }
}

mod llm {
    use mainstay::{Mainstay, Profile, UpstreamBuilder};

    fn show(_: &str) {}

    async fn a_stream(
        token: &str,
        prompt: std::collections::BTreeMap<String, String>,
    ) -> super::Whatever {
        let models = UpstreamBuilder::new("models")
            .profile(Profile::LlmStream)
            .endpoint("https://models.example");
        let client = Mainstay::builder().upstream(models).build()?;

        let request = client.post("https://models.example/v1/chat/completions");
        let request = request.bearer_auth(token).json(&prompt).idempotent();
        let mut events = request.send().await?.error_for_status()?.into_events();
        while let Some(event) = events.next().await {
            match event?.data.as_str() {
                "[DONE]" => break,
                piece => show(piece),
            }
        }
        Ok(())
    }
}

mod observe {
    use mainstay::Mainstay;

    fn a_client() -> super::Whatever {
        let client = Mainstay::builder()
            .config_file("mainstay.toml")
            .observer(mainstay::TracingObserver)
            .build()?;
        assert!(!client.metrics_text().is_empty());
        Ok(())
    }
}

mod outbox {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use mainstay::outbox::{Courier, Delivery, PostgresOutbox, SqliteOutbox};
    use mainstay::{Mainstay, UpstreamBuilder};

    async fn in_postgres(
        mut client: tokio_postgres::Client,
        order: BTreeMap<String, String>,
    ) -> super::Whatever {
        let outbox = PostgresOutbox::new("mainstay_outbox")?;

        let transaction = client.transaction().await?;
        let insert = "INSERT INTO orders (customer, item) VALUES ($1, $2)";
        transaction.execute(insert, &[&"ann", &"tea"]).await?;
        let message = Delivery::post("/orders").json(&order).lane("ann").key("order-7");
        let id = outbox.enqueue(&transaction, message).await?;
        transaction.commit().await?;
        assert_eq!(id.as_str().len(), 32);
        Ok(())
    }

    async fn by_the_program_itself(client: Mainstay) -> super::Whatever {
        let courier = Courier::of(&client)
            .postgres("postgresql://shop@db.example/shop")
            .intake_table("mainstay_outbox")
            .start()
            .await?;
        courier.drain().await;
        Ok(())
    }

    async fn in_sqlite(mut database: rusqlite::Connection) -> super::Whatever {
        let shop = UpstreamBuilder::new("shop")
            .endpoint("https://shop.example")
            .set("outbox.mode", "always");
        let client = Mainstay::builder().upstream(shop).build()?;
        let outbox = SqliteOutbox::new("mainstay_outbox")?;
        outbox.create_table(&database)?;
        let courier = Courier::of(&client).store("deliveries.db").intake("shop.db", &outbox);
        let courier = courier.start().await?;

        let transaction = database.transaction()?;
        transaction.execute("INSERT INTO orders (item) VALUES (?1)", ["tea"])?;
        let message = Delivery::post("/orders").body("tea").key("order-7");
        let id = outbox.enqueue(&transaction, message)?;
        transaction.commit()?;
        courier.wake();

        let state = courier.settled(&id, Duration::from_secs(20)).await?;
        assert!(state.is_some());
        Ok(())
    }
}

mod rest {
    use std::time::Duration;

    use mainstay::{Certainty, Mainstay, Profile, Request, Response, UpstreamBuilder};

    #[derive(Debug, serde::Deserialize, serde::Serialize)]
    struct Order {
        id: u32,
    }

    async fn an_order() -> super::Whatever {
        let client = Mainstay::from_config("mainstay.toml")?;
        let order: Order = client.get("https://api.example/orders/7").send().await?.json().await?;
        assert_eq!(order.id, 7);
        Ok(())
    }

    fn in_code() -> super::Whatever {
        let orders = UpstreamBuilder::new("orders")
            .profile(Profile::ReadApi)
            .endpoint("https://a.example/v1")
            .endpoint("https://b.example/v1")
            .set("breaker.open_for", Duration::from_secs(10));
        let client = Mainstay::builder().upstream(orders).build()?;
        assert!(client.upstream("orders").is_some());
        Ok(())
    }

    #[test]
    fn a_policy_in_code_is_accepted() {
        in_code().expect("as the page says");
    }

    async fn attempts(client: Mainstay, url: &str) -> super::Whatever {
        let response = client.get(url).send().await?;
        for attempt in response.attempts() {
            println!(
                "{} {:?} {:?} {:?}",
                attempt.endpoint,
                attempt.reason,
                attempt.code(),
                attempt.took
            );
        }
        Ok(())
    }

    async fn an_error(client: Mainstay, charge: Order) {
        fn receipt(_: Response) {}
        fn keep(_: Option<Request>) {}
        fn ask_whether_it_was_done(_: Option<mainstay::CallId>) {}

        match client.post("https://pay.example/charges").json(&charge).send().await {
            Ok(response) => receipt(response),
            Err(error) if error.certainty() == Certainty::NotSent => keep(error.into_request()),
            Err(error) => ask_whether_it_was_done(error.call_id()),
        }
    }
}

mod testing {
    use std::time::Duration;

    use mainstay::testing::{Act, Script, check};
    use mainstay::{Mainstay, UpstreamBuilder};

    /// The second is asked when the first doesn't do.
    fn orders() -> UpstreamBuilder {
        UpstreamBuilder::new("orders")
            .endpoint("https://a.example")
            .endpoint_in_tier("https://b.example", 1)
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_survives_a_reset() {
        let script = Script::new()
            .at("a.example:443", [Act::reset()])
            .at("b.example:443", [Act::answer(200, "seven").after(Duration::from_millis(20))]);
        let client = Mainstay::builder().upstream(orders()).scripted(&script).build().unwrap();

        let response = client.get("https://a.example/orders/7").send().await.unwrap();
        check(&response.attempts()).retries(1).after_at_least(Duration::from_millis(1)).elsewhere();
    }
}

mod around {
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use mainstay::tower::{AttemptBody, Connector, MainstayLayer};
    use mainstay::{Mainstay, UpstreamBuilder};
    use tower::Layer as _;

    fn a_client() -> super::Whatever {
        let api =
            UpstreamBuilder::new("api").endpoint("https://a.example").endpoint("https://b.example");
        let client = Mainstay::builder().upstream(api).build()?;
        let api = client.upstream("api").expect("it was just given");

        let inner: Client<_, AttemptBody> =
            Client::builder(TokioExecutor::new()).build(Connector::of(&api));
        let client = MainstayLayer::new(&api).layer(inner);
        drop(client);
        Ok(())
    }

    fn without_the_layer() {
        let client: Client<_, http_body_util::Full<bytes::Bytes>> =
            Client::builder(TokioExecutor::new()).build(Connector::new());
        let kept = mainstay::tower::kept::<hyper::body::Incoming>;
        let client = tower::ServiceBuilder::new().map_response(kept).service(client);
        drop(client);
    }
}

mod websocket {
    use mainstay::Mainstay;
    use mainstay::websocket::{Message, SocketEvent};

    fn show(_: Message) {}

    async fn ask_for_what_was_missed() {}

    async fn a_connection(client: Mainstay) -> super::Whatever {
        let mut socket = client.get("wss://api.example/prices").websocket()?.connect().await?;
        socket.say("subscribe tea").await?;
        while let Some(message) = socket.next_message().await {
            show(message?);
        }
        println!("{:?}", socket.closed());
        Ok(())
    }

    async fn again(client: Mainstay) -> super::Whatever {
        let mut prices = client
            .get("wss://api.example/prices")
            .websocket()?
            .reconnecting()
            .saying(["subscribe tea"]);
        while let Some(event) = prices.next_event().await {
            match event? {
                SocketEvent::Opened { before: 0 } => {}
                SocketEvent::Opened { .. } => ask_for_what_was_missed().await,
                SocketEvent::Message(message) => show(message),
                _ => {}
            }
        }
        Ok(())
    }
}
