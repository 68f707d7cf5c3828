//! The command line: grant, revoke, move and see tickets.
//!
//! Three things end a command: the wish was met (0), it was refused (its own exit code, nothing
//! changed), or nobody knows (112, with a way to repeat it safely). Nothing waits for ever.

mod args;
mod ask;
mod bundle;
mod change;
mod check;
mod clock;
mod codes;
mod connect;
mod formation;
mod init;
mod issue;
mod json;
mod output;
mod plan;
mod progress;
mod table;
mod tickets;
mod usage;
mod watch;

use std::process::ExitCode;

use ticket_admin::Code;

use crate::args::{Args, Verb};
use crate::output::{Output, Stop};
use crate::usage::Early;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let code = match usage::parse(&arguments) {
        Ok(args) => {
            let out = Output::new(&args.global);
            run(&args, &out).unwrap_or_else(|stop| out.stop(stop))
        }
        Err(Early::Asked(text)) => {
            Output::unparsed(&arguments).print(&text);
            Code::Done
        }
        Err(Early::Wrong(failure)) => Output::unparsed(&arguments).stop(Stop::Failure(failure)),
    };
    ExitCode::from(code.number())
}

fn run(args: &Args, out: &Output) -> Result<Code, Stop> {
    let global = &args.global;
    use ticket_admin::Verb as Wish;
    match &args.verb {
        Verb::List { lines, table } => tickets::list(global, out, *lines, *table),
        Verb::Show { ticket } => tickets::show(global, out, ticket.as_deref()),
        Verb::Grant(grant) => change::grant(global, out, grant),
        Verb::Revoke(which) => change::change(global, out, which, Wish::Revoke {}),
        Verb::Move(args) => change::move_ticket(global, out, args),
        Verb::Standby(which) => change::change(global, out, which, Wish::Standby {}),
        Verb::Activate(which) => change::change(global, out, which, Wish::Activate {}),
        Verb::Peers => formation::peers(global, out),
        Verb::Status => formation::status(global, out),
        Verb::Watch {
            ticket,
            after,
            count,
        } => {
            let filter = watch::Filter {
                ticket: ticket.as_deref(),
                after: *after,
                count: *count,
            };
            watch::watch(global, out, &filter)
        }
        Verb::Check { explain } => check::check(global, out, *explain),
        Verb::Init(init) => init::init(out, init),
        Verb::Issue(issue) => issue::issue(out, issue),
        Verb::Codes => Ok(codes::codes(out)),
    }
}
