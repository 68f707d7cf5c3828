use super::*;

#[test]
fn hosts_file() {
    let text = "127.0.0.1 localhost # me\n::1 localhost ip6-localhost\n# 1.2.3.4 berlin\n\
                192.0.2.1\tberlin.example Berlin\nbroken line\n";
    assert_eq!(hosts_entry(text, "localhost").len(), 2);
    assert_eq!(
        hosts_entry(text, "berlin"),
        ["192.0.2.1".parse::<IpAddr>().unwrap()]
    );
    assert_eq!(hosts_entry(text, "berlin.example.").len(), 1);
    assert!(hosts_entry(text, "paris").is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn localhost_needs_no_name_server() {
    let address = Address::parse("localhost:17001").unwrap();
    let found = SystemNames::default().resolve(&address).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(|a| a.ip().is_loopback()));
}

/// A name server that knows two SRV records, and A and AAAA records of their targets.
async fn name_server() -> SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let answer = answer(&query[..length]);
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    address
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.') {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// RFC 1035, by hand: header, the question again, the records.
fn answer(query: &[u8]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let (name, kind) = (
        &query[12..end],
        u16::from_be_bytes([query[end], query[end + 1]]),
    );
    let srv = |priority: u8, port: u16, target: &str| {
        let mut data = vec![0, priority, 0, 5];
        data.extend_from_slice(&port.to_be_bytes());
        data.extend_from_slice(&wire_name(target));
        data
    };
    let named = |wanted: &str| name.eq_ignore_ascii_case(&wire_name(wanted));
    let records: Vec<Vec<u8>> = match kind {
        33 if named("_interlock._udp.example.org") => {
            vec![
                srv(20, 4_000, "b.example.org"),
                srv(10, 3_000, "a.example.org"),
            ]
        }
        1 if named("a.example.org") => vec![vec![192, 0, 2, 1]],
        28 if named("a.example.org") => {
            vec!["2001:db8::1".parse::<Ipv6Addr>().unwrap().octets().to_vec()]
        }
        1 if named("b.example.org") => vec![vec![192, 0, 2, 2]],
        _ => Vec::new(),
    };
    let mut out = query[..2].to_vec();
    // No such name is an answer too: NXDOMAIN, unless the name has other records.
    let known = named("a.example.org") || named("b.example.org") || !records.is_empty();
    out.extend_from_slice(&[0x85, if known { 0x80 } else { 0x83 }]);
    out.extend_from_slice(&[0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    out.extend_from_slice(&query[12..end + 4]);
    for data in records {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(&data);
    }
    out
}

#[tokio::test(flavor = "current_thread")]
async fn records_of_a_real_server() {
    let names = SystemNames::of_server(name_server().await);
    let resolve = async |text: &str| names.resolve(&Address::parse(text).unwrap()).await;
    let found = resolve("srv:_interlock._udp.example.org").await.unwrap();
    let mut first: Vec<String> = found[..2].iter().map(ToString::to_string).collect();
    first.sort();
    assert_eq!(
        first,
        ["192.0.2.1:3000", "[2001:db8::1]:3000"],
        "smaller priority first"
    );
    assert_eq!(
        found[2..],
        ["192.0.2.2:4000".parse::<SocketAddr>().unwrap()]
    );
    let found = resolve("b.example.org:77").await.unwrap();
    assert_eq!(found, ["192.0.2.2:77".parse::<SocketAddr>().unwrap()]);
    let error = resolve("nobody.example.org").await.unwrap_err();
    assert_eq!(error.name, "nobody.example.org");
}

#[tokio::test(flavor = "current_thread")]
async fn silent_server_is_given_up() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let names = SystemNames::of_server(silent.local_addr().unwrap());
    let address = Address::parse("b.example.org").unwrap();
    let begin = std::time::Instant::now();
    assert!(names.resolve(&address).await.is_err());
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "took {:?}",
        begin.elapsed()
    );
}
