use tokio::net::TcpListener;

use super::*;

async fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.expect("accepted");
            let mut request = vec![0; 1024];
            let length = tcp.read(&mut request).await.expect("read");
            assert!(request[..length].starts_with(b"GET /health HTTP/1.1\r\nHost: a.example\r\n"));
            tcp.write_all(answer.as_bytes()).await.expect("written");
        }
    });
    tasks.detach_all();
    address
}

fn target(address: SocketAddr, question: Question) -> Target {
    Target {
        subject: Subject {
            instance: "congress".parse().unwrap(),
            service: "web".parse().unwrap(),
            replica: ReplicaId::new("r", 1),
        },
        address,
        tls: None,
        question,
    }
}

fn http() -> Question {
    Question::Http {
        host: "a.example".to_owned(),
        path: "/health".to_owned(),
    }
}

async fn answer(text: &'static str) -> Result<(), String> {
    ask(&target(server(text).await, http()), &Sealer::default()).await
}

#[tokio::test]
async fn any_answer_below_500_is_ready() {
    assert_eq!(answer("HTTP/1.1 200 OK\r\n\r\n").await, Ok(()));
    assert_eq!(answer("HTTP/1.1 404 Not Found\r\n\r\n").await, Ok(()));
    assert_eq!(
        answer("HTTP/1.0 302 Found\r\nLocation: /x\r\n\r\n").await,
        Ok(())
    );
    assert!(
        answer("HTTP/1.1 503 Busy\r\n\r\n")
            .await
            .expect_err("busy")
            .contains("answers 503")
    );
}

#[tokio::test]
async fn nonsense_and_silence_are_told_apart_from_a_refusal() {
    assert!(
        answer("SSH-2.0\r\n\r\n")
            .await
            .expect_err("nonsense")
            .contains("GET /health")
    );
    assert!(
        answer("")
            .await
            .expect_err("closed")
            .contains("closed without an answer")
    );
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bound")
        .local_addr()
        .expect("address");
    let error = ask(&target(nobody, http()), &Sealer::default())
        .await
        .expect_err("refused");
    assert!(error.contains("cannot connect to 127.0.0.1"), "{error}");
    assert!(
        ask(&target(nobody, Question::Tcp), &Sealer::default())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_newcomer_is_asked_again_and_again_until_it_answers() {
    let address = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bound")
        .local_addr()
        .expect("address");
    let target = target(address, Question::Tcp);
    let of = target.subject.instance.clone();
    let all = Targets::from([(of, Arc::from([target]))]);
    let (targets, receiver) = watch::channel(Arc::new(all));
    let (sender, mut outcomes) = mpsc::channel(16);
    let (trigger, shutdown) = crate::shutdown::channel();
    let mut task = JoinSet::new();
    task.spawn(run(receiver, sender, shutdown));
    assert!(outcomes.recv().await.expect("an outcome").result.is_err());
    let _listener = TcpListener::bind(address).await.expect("bound");
    let good = async { while outcomes.recv().await.expect("an outcome").result.is_err() {} };
    timeout(Duration::from_secs(3), good)
        .await
        .expect("within three times a second");
    targets.send_replace(Arc::default());
    trigger.begin();
    assert!(task.join_next().await.expect("a task").is_ok());
}
