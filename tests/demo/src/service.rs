//! The gated service of the demo, and the small tools that its agent calls.
//!
//! `demo serve` answers HTTP with the site and the term that it serves under, appends a beat each
//! millisecond to a file, and writes to the sample store ten times as slowly. It lives in a process
//! of its own, started by a real OCF agent; it knows nothing of tickets but its term.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::clock::Mono;
use crate::witness::beats;

/// Time between two beats.
const BEAT: Duration = Duration::from_millis(1);

/// Time between two writes to the sample store.
const WRITE: Duration = Duration::from_millis(10);

/// Longest wait for an answer of the witness; it sits in the same machine.
const WITNESS_WAIT_MAX: Duration = Duration::from_secs(5);

/// Longest wait of a probe for an answer of the service.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Largest HTTP request head that is read; a browser's is smaller.
const REQUEST_BYTES_MAX: u64 = 16_384;

/// `demo serve`: what the agent passes on.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Name of the site, for the answer.
    #[arg(long)]
    site: String,
    /// TCP port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// The term of the ticket, as one number.
    #[arg(long, default_value_t = 0)]
    term: u64,
    /// Folder for the file of beats.
    #[arg(long)]
    beats: PathBuf,
    /// Socket of the witness.
    #[arg(long)]
    witness: PathBuf,
}

/// Serves until it is killed, or until the demo is gone.
pub(crate) fn serve(options: &Serve) -> ExitCode {
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo serve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Serve) -> io::Result<()> {
    let pid = std::process::id();
    let started = Mono::now();
    let path = options.beats.join(format!("{}-{pid}", started.0));
    let mut file = File::create(&path)?;
    let mut witness = Line::connect(&options.witness)?;
    let term = options.term;
    witness.expect_ok(&format!(
        "serve {} {pid} {term} {}",
        options.site,
        path.display()
    ))?;
    witness.expect_ok(&format!("claim {term}"))?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)))?;
    let body = format!("served by {}, term {term}\n", options.site);
    thread::Builder::new()
        .name("http".into())
        .spawn(move || answer_all(&listener, &body))?;
    beats::append(&mut file, Mono::now(), term)?;
    witness.expect_ok("ready")?;
    thread::Builder::new()
        .name("beats".into())
        .spawn(move || beat(file, term))?;
    loop {
        // A refusal changes nothing here: the witness wants to see how long the guard takes to end
        // a stale service. Only the end of the demo ends it from inside.
        if witness.ask(&format!("write {term}")).is_err() {
            return Ok(());
        }
        thread::sleep(WRITE);
    }
}

fn beat(mut file: File, term: u64) {
    loop {
        thread::sleep(BEAT);
        if beats::append(&mut file, Mono::now(), term).is_err() {
            return;
        }
    }
}

fn answer_all(listener: &TcpListener, body: &str) {
    for stream in listener.incoming().flatten() {
        // A client that went away in between is its own affair.
        drop(answer(stream, body));
    }
}

fn answer(mut stream: TcpStream, body: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PROBE_WAIT_MAX))?;
    let mut head = BufReader::new(stream.try_clone()?).take(REQUEST_BYTES_MAX);
    let mut line = String::new();
    while head.read_line(&mut line)? > 0 && !line.trim_end().is_empty() {
        line.clear();
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Asks the service on `port` once; its answer, if it gives one in time.
pub(crate) fn fetch(port: u16) -> io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PROBE_WAIT_MAX)?;
    stream.set_read_timeout(Some(PROBE_WAIT_MAX))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(REQUEST_BYTES_MAX).read_to_string(&mut answer)?;
    let Some((_, body)) = answer.split_once("\r\n\r\n") else {
        return Err(io::Error::other("the answer is not HTTP"));
    };
    Ok(body.trim_end().to_owned())
}

/// `demo probe --port N`: 0 if the service answers.
pub(crate) fn probe(port: u16) -> ExitCode {
    match fetch(port) {
        Ok(body) => {
            println!("{body}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("demo probe: no answer on port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `demo note`: what an agent tells the witness. Failing to do so must not fail the agent.
pub(crate) fn note(witness: &Path, site: &str, action: &str, code: Option<i32>) -> ExitCode {
    let text = match code {
        None => format!("note {site} {action} begin 0"),
        Some(code) => format!("note {site} {action} end {code}"),
    };
    if let Err(error) = Line::connect(witness).and_then(|mut line| line.expect_ok(&text)) {
        eprintln!("demo note: {error}");
    }
    ExitCode::SUCCESS
}

/// A connection to the witness.
struct Line {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Line {
    fn connect(path: &Path) -> io::Result<Self> {
        let writer = UnixStream::connect(path)?;
        writer.set_read_timeout(Some(WITNESS_WAIT_MAX))?;
        let reader = BufReader::new(writer.try_clone()?);
        Ok(Self { reader, writer })
    }

    fn ask(&mut self, text: &str) -> io::Result<String> {
        self.writer.write_all(format!("{text}\n").as_bytes())?;
        let mut answer = String::new();
        if self.reader.read_line(&mut answer)? == 0 {
            return Err(io::Error::other("the witness is gone"));
        }
        Ok(answer.trim_end().to_owned())
    }

    fn expect_ok(&mut self, text: &str) -> io::Result<()> {
        let answer = self.ask(text)?;
        if answer == "ok" {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "`{text}` was answered `{answer}`"
        )))
    }
}
