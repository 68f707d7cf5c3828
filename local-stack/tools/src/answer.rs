//! What a tool answers: text, or Pacemaker's XML frame around the same.

use std::io::Write as _;
use std::process::ExitCode;

use cib::{Document, ElementId};

use crate::args::{Given, Tool};
use crate::exit::{self, Failure};

/// The version of the XML vocabulary for answers: the newest that Debian 12's schemas know.
const API_VERSION: &str = "2.25";

/// What a tool has to say.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The text, for people.
    pub(crate) text: String,
    /// The same for programs, when that was asked for.
    pub(crate) xml: Option<Frame>,
    /// The exit code.
    pub(crate) code: u8,
    /// Lines for standard error; in XML they stand in the status.
    pub(crate) errors: Vec<String>,
    /// Whether the error lines are complete as they are, without the tool's name before them.
    pub(crate) plain_errors: bool,
}

impl Answer {
    /// An answer in text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }
}

/// `<pacemaker-result>`, to be filled.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) document: Document,
    pub(crate) root: ElementId,
}

impl Frame {
    fn new(request: &str) -> Self {
        let mut document = Document::new("pacemaker-result");
        let root = document.root().key();
        document.set_attr(root, "api-version", API_VERSION);
        document.set_attr(root, "request", request);
        Self { document, root }
    }

    /// Appends an element with attributes.
    pub(crate) fn add(
        &mut self,
        parent: ElementId,
        name: &str,
        attributes: &[(&str, &str)],
    ) -> ElementId {
        let element = self.document.append(parent, name);
        for (name, value) in attributes {
            self.document.set_attr(element, name, value);
        }
        element
    }

    fn finish(mut self, code: u8, errors: &[String]) -> String {
        let root = self.root;
        let status = self.add(
            root,
            "status",
            &[("code", &code.to_string()), ("message", exit::name(code))],
        );
        if !errors.is_empty() {
            let list = self.add(status, "errors", &[]);
            for error in errors {
                let element = self.document.append(list, "error");
                self.document.append_text(element, error);
            }
        }
        self.document.to_text()
    }
}

/// A tool's run: its command line, and where its answer goes.
pub(crate) struct Call<'a> {
    pub(crate) given: &'a Given,
    /// Whether XML is wanted.
    pub(crate) as_xml: bool,
    request: String,
}

impl Call<'_> {
    /// An empty XML frame, if XML is wanted.
    pub(crate) fn frame(&self) -> Option<Frame> {
        self.as_xml.then(|| Frame::new(&self.request))
    }
}

/// Runs a tool from its command line to its exit code.
pub(crate) fn run(
    tool: &Tool,
    arguments: &[String],
    work: impl FnOnce(&Call<'_>) -> Result<Answer, Failure>,
) -> ExitCode {
    let given = match tool.parse(arguments) {
        Ok(given) => given,
        Err(failure) => return fail(tool, &failure),
    };
    if given.has("help") || given.has("help-all") {
        return print(tool, None, &tool.help(), exit::OK);
    }
    if given.has("version") {
        let text = format!(
            "Interlock {} (CIB feature set 3.20.5, answers as Pacemaker {})\n",
            env!("CARGO_PKG_VERSION"),
            crate::PACEMAKER_VERSION,
        );
        return print(tool, None, &text, exit::OK);
    }
    let as_xml = match given.wants_xml() {
        Ok(as_xml) => as_xml,
        Err(failure) => return fail(tool, &failure),
    };
    let mut request = tool.name.to_owned();
    for argument in arguments {
        request.push(' ');
        request.push_str(argument);
    }
    let call = Call {
        given: &given,
        as_xml,
        request,
    };
    let answer = work(&call).unwrap_or_else(|failure| Answer {
        xml: call.frame(),
        code: failure.code,
        errors: vec![failure.message],
        ..Answer::default()
    });
    let to = given.value("output-to").filter(|to| *to != "-");
    match answer.xml {
        Some(frame) => {
            let text = frame.finish(answer.code, &answer.errors);
            print(tool, to, &text, answer.code)
        }
        None => {
            let printed = print(tool, to, &answer.text, answer.code);
            for error in &answer.errors {
                if answer.plain_errors {
                    eprintln!("{error}");
                } else {
                    eprintln!("{}: {error}", tool.name);
                }
            }
            printed
        }
    }
}

fn fail(tool: &Tool, failure: &Failure) -> ExitCode {
    eprintln!("{}: {}", tool.name, failure.message);
    ExitCode::from(failure.code)
}

fn print(tool: &Tool, to: Option<&str>, text: &str, code: u8) -> ExitCode {
    let written = match to {
        Some(path) => std::fs::write(path, text),
        None => std::io::stdout().lock().write_all(text.as_bytes()),
    };
    match written {
        Ok(()) => ExitCode::from(code),
        // Whoever read our output has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::from(code),
        Err(e) => fail(tool, &Failure::write(to.unwrap_or("standard output"), &e)),
    }
}
