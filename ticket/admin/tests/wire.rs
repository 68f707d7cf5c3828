//! The lines of the control socket: what they look like, and that neither an older nor a hostile
//! other side does harm.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tempfile::TempDir;
use ticket_admin::{
    API_VERSION, Action, Answer, Body, Call, Client, ClientError, Code, Failure, Request,
    RequestId, Response, Verb, View,
};

const SOON: Duration = Duration::from_millis(300);

/// A daemon that sends `bytes` to whoever connects, then keeps or closes the connection.
fn daemon(bytes: Vec<u8>, keep: bool) -> (TempDir, std::path::PathBuf) {
    let directory = TempDir::new().expect("a directory");
    let socket = directory.path().join("s");
    let listener = UnixListener::bind(&socket).expect("a socket");
    thread::spawn(move || {
        let mut kept: Vec<UnixStream> = Vec::new();
        for stream in listener.incoming().flatten() {
            // The client may have had enough.
            drop((&stream).write_all(&bytes));
            if keep {
                kept.push(stream);
            }
        }
    });
    (directory, socket)
}

fn ask(socket: &Path) -> Result<Option<Body>, ClientError> {
    let deadline = Instant::now() + SOON;
    Client::connect(socket, deadline)?.call(Call::View {}, deadline)
}

#[test]
fn requests_and_answers_look_as_documented() {
    let action = Action {
        request: RequestId(0x3f),
        ticket: "db".into(),
        verb: Verb::Revoke {},
        wait_ms: 60_000,
    };
    let request = Request {
        version: API_VERSION,
        id: 1,
        call: Call::Act(action),
    };
    let text = serde_json::to_string(&request).unwrap();
    let expected = r#"{"version":1,"id":1,"do":{"act":{"request":"0000000000000000000000000000003f","ticket":"db","verb":{"revoke":{}},"wait_ms":60000}}}"#;
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
    let failure = Failure::new(Code::Quorum, "no majority");
    let text = serde_json::to_string(&Response {
        id: 1,
        body: Body::Error(failure),
    })
    .unwrap();
    assert!(
        text.starts_with(r#"{"id":1,"error":{"code":106,"message":"no majority""#),
        "{text}"
    );
}

#[test]
fn unknown_and_missing_fields_do_no_harm() {
    let line = r#"{"id":1,"later":true,"ok":{"view":{"cluster":"shop","novelty":[1],
        "tickets":[{"name":"db","lease":{"left_ms":5,"more":1}}]}}}"#;
    let response: Response = serde_json::from_str(line).unwrap();
    let Body::Ok(Answer::View(view)) = response.body else {
        panic!("{response:?}")
    };
    assert_eq!(
        (view.cluster.as_str(), view.tickets[0].name.as_str()),
        ("shop", "db")
    );
    let line = r#"{"id":1,"error":{"code":199,"message":"new"}}"#;
    let response: Response = serde_json::from_str(line).unwrap();
    let Body::Error(failure) = response.body else {
        panic!("{response:?}")
    };
    assert_eq!(
        (failure.code, failure.code.number()),
        (Code::Other(199), 199)
    );
    assert!(serde_json::from_str::<Request>(r#"{"version":1,"id":1,"do":{"dance":{}}}"#).is_err());
}

#[test]
fn codes_are_distinct_and_survive_the_wire() {
    let all: Vec<Code> = Code::all().collect();
    for code in &all {
        assert_eq!(Code::from(code.number()), *code);
        assert_eq!(
            all.iter()
                .filter(|other| other.number() == code.number())
                .count(),
            1
        );
        assert_eq!(
            all.iter()
                .filter(|other| other.name() == code.name())
                .count(),
            1
        );
    }
    assert_eq!(Code::Done.number(), 0);
    assert!(
        all.iter()
            .filter(|code| **code != Code::Done)
            .all(|code| code.number() != 0)
    );
}

#[test]
fn answers_to_others_are_passed_over() {
    let view = |id, cluster: &str| {
        let view = View {
            cluster: cluster.into(),
            ..View::default()
        };
        let body = Body::Ok(Answer::View(Box::new(view)));
        serde_json::to_string(&Response { id, body }).unwrap() + "\n"
    };
    let (_directory, socket) = daemon((view(7, "other") + &view(1, "mine")).into_bytes(), true);
    let Ok(Some(Body::Ok(Answer::View(found)))) = ask(&socket) else {
        panic!("no view")
    };
    assert_eq!(found.cluster, "mine");
}

#[test]
fn nothing_that_a_daemon_does_keeps_the_client_for_ever() {
    let silent = daemon(Vec::new(), true);
    assert!(matches!(ask(&silent.1), Ok(None)));
    let half = daemon(br#"{"id":1,"ok":"#.to_vec(), true);
    assert!(matches!(ask(&half.1), Ok(None)));
    let gone = daemon(Vec::new(), false);
    assert!(matches!(
        ask(&gone.1),
        Err(ClientError::Closed { .. } | ClientError::Broken { .. })
    ));
    let noise = daemon(b"\x00\xff noise\n".to_vec(), true);
    assert!(matches!(ask(&noise.1), Err(ClientError::Garbage { .. })));
    let endless = daemon(vec![b'x'; ticket_admin::LINE_MAX + (1 << 20)], true);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut client = Client::connect(&endless.1, deadline).unwrap();
    assert!(matches!(
        client.call(Call::View {}, deadline),
        Err(ClientError::Garbage { .. })
    ));
}

#[test]
fn nobody_there_is_told_apart() {
    let directory = TempDir::new().unwrap();
    let missing = ask(&directory.path().join("none")).unwrap_err();
    assert!(matches!(missing, ClientError::NotRunning { .. }) && missing.before_sending());
    assert_eq!(missing.code(), Code::NotConnected);
    let stale = directory.path().join("stale");
    drop(UnixListener::bind(&stale).unwrap());
    assert!(matches!(ask(&stale), Err(ClientError::NotRunning { .. })));
    let long = directory.path().join("x".repeat(200));
    assert!(matches!(ask(&long), Err(ClientError::Broken { .. })));
}

proptest! {
    #[test]
    fn request_ids_survive(number in any::<u128>()) {
        let id = RequestId(number);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn no_text_makes_a_request_id_panic(text in "\\PC{0,80}") {
        let _ = text.parse::<RequestId>();
    }

    #[test]
    fn no_line_makes_the_reader_panic(line in "\\PC{0,200}") {
        let _ = serde_json::from_str::<Response>(&line);
        let _ = serde_json::from_str::<Request>(&line);
    }
}
