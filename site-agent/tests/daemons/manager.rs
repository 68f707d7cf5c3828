//! What the service manager hears, and what slow clients cost.

use std::io::Write;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Instant;

use rustix::process::Signal;

use crate::cluster::{AUTO, Cluster, PATIENCE};

/// Reads notifications until one starts with `text`.
fn await_notice(socket: &UnixDatagram, text: &str) {
    let until = Instant::now() + PATIENCE;
    let mut buffer = [0; 4096];
    let mut seen = Vec::new();
    while Instant::now() < until {
        let Ok(length) = socket.recv(&mut buffer) else {
            continue;
        };
        let notice = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if notice.lines().any(|line| line.starts_with(text)) {
            return;
        }
        seen.push(notice);
    }
    panic!("never {text}: {seen:?}");
}

#[test]
fn the_service_manager_is_told_of_start_life_reload_and_end() {
    let cluster = Cluster::new(AUTO);
    let path = cluster.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket
        .set_read_timeout(Some(std::time::Duration::from_millis(200)))
        .expect("a timeout");
    let mut child = cluster
        .command("berlin", &[])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .spawn()
        .expect("the daemon");
    await_notice(&socket, "READY=1");
    await_notice(&socket, "STATUS=");
    await_notice(&socket, "WATCHDOG=1");
    await_notice(&socket, "WATCHDOG=1");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::HUP).expect("the signal");
    await_notice(&socket, "RELOADING=1");
    await_notice(&socket, "READY=1");
    rustix::process::kill_process(pid, Signal::TERM).expect("the signal");
    await_notice(&socket, "STOPPING=1");
    assert!(child.wait().expect("its end").success());
}

#[test]
fn a_client_that_does_not_read_costs_nobody_else_anything() {
    let cluster = Cluster::started(AUTO);
    let path = cluster.home("berlin").join("run/berlin.sock");
    let mut deaf = UnixStream::connect(&path).expect("the daemon");
    deaf.set_write_timeout(Some(std::time::Duration::from_millis(200)))
        .expect("a timeout");
    let question = b"{\"version\":1,\"id\":1,\"do\":{\"view\":{}}}\n";
    for _ in 0..5000 {
        if deaf.write_all(question).is_err() {
            break;
        }
    }
    cluster.grant("db", "berlin");
    cluster.await_view("berlin", "answered", |_| true);
}

#[test]
fn nonsense_on_the_control_socket_is_answered_and_survived() {
    let cluster = Cluster::started(AUTO);
    let path = cluster.home("berlin").join("run/berlin.sock");
    let nonsense: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"{}\n",
        &[0xff; 100_000],
        b"[1,2\n",
    ];
    for bytes in nonsense {
        let mut client = UnixStream::connect(&path).expect("the daemon");
        // It may hang up before all is written.
        let _cut = client.write_all(bytes);
    }
    cluster.grant("db", "berlin");
}
