//! The words of the demo: what a person types and what a script contains.
//!
//! A script is a list of verbs, one a line. `#` begins a comment, `&` at the end runs a ticket
//! command beside what follows, `for NAME in A B ... end` repeats with `$NAME` replaced. A script is
//! read as a whole before anything starts, and every error names its line.

use crate::settings::{ARBITRATOR, SITES, is_member};
use crate::span::Span;

/// A process or a group of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Everything of a member; of a site, its service too.
    Member(String),
    /// One daemon: `berlin.agent`.
    Daemon(String, Daemon),
    /// The gated service of a site.
    Service(String),
}

/// The daemons of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Daemon {
    Guard,
    Stack,
    Agent,
    Arbitrator,
}

impl Daemon {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Stack => "stack",
            Self::Agent => "agent",
            Self::Arbitrator => "arbitrator",
        }
    }
}

/// What is done to processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Cont,
    /// SIGTERM.
    Term,
}

/// What should be seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wish {
    /// The service answers at this site and nowhere else.
    Serving(String),
    /// The service answers somewhere.
    Served,
    /// The service does not answer at this site.
    NotServing(String),
    /// The service answers nowhere.
    NothingServing,
    /// A member that is up says that this site (or nobody) holds the ticket.
    Holder(Option<String>),
    /// All processes of a target are gone.
    Dead(Target),
    /// All processes of a target live.
    Alive(Target),
    /// The last ticket command ended with this code.
    Code(i32),
    /// The last ticket command did not end with 0.
    NonZero,
    /// The last ticket command said this.
    Output(String),
    /// The last gap in service was shorter.
    GapBelow(Span),
    /// The last stop was confirmed before the last start began.
    StopBeforeStart,
    /// A ticket command was given.
    Asked,
    /// An agent has begun (`false`) or ended (`true`) this action since the last ticket command.
    Since(&'static str, bool),
    /// The first answer came this soon after the start of the first process.
    FirstAnswerBelow(Span),
    /// Every member answers and votes, and every site's stack and guard are up.
    AllWell,
    /// No site is in standby and no move is under way.
    NoStandby,
    /// At most one site claims the ticket.
    OneOwner,
    /// The store refused a stale writer.
    StoreRefused,
    /// Two sites ran at once: only for the canary.
    Overlap,
    /// `ticket status` shows this protection.
    Protection(String),
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verb {
    Set(String, String),
    /// Features that the binaries must have.
    Require(String),
    Start,
    Say(String),
    Wait(Span),
    /// Arguments of `ticket`, and whether it runs beside what follows.
    Ticket(Vec<String>, bool),
    /// Wait for the ticket commands that run beside.
    Join,
    /// Wait until a ticket command that runs beside has printed this.
    Until(String, Span),
    Signal(Signal, Target),
    Restart(Target),
    Wipe(String),
    Corrupt(String),
    Cut(Vec<(String, String)>),
    Heal,
    Latency(Span, Vec<(String, String)>),
    Loss(u32, Vec<(String, String)>),
    Fault(String, String, String),
    StepClock(String, i64),
    Expect {
        wish: Wish,
        within: Option<Span>,
        during: Option<Span>,
    },
    Status,
    Help,
    Quit,
}

/// A verb with the line it stands on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) verb: Verb,
}

/// Largest number of steps after all repetitions: a loop in a loop is meant, a thousand is not.
const STEPS_MAX: usize = 2_000;

/// Reads a whole script; all errors at once, each with its line.
pub(crate) fn parse_script(text: &str) -> Result<Vec<Step>, Vec<String>> {
    let lines: Vec<(usize, String)> = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, strip(line).to_owned()))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    let (mut steps, mut errors) = (Vec::new(), Vec::new());
    for (line, text) in unroll(&lines).map_err(|error| vec![error])? {
        match parse(&text) {
            Ok(verb) => steps.push(Step { line, text, verb }),
            Err(error) => errors.push(format!("line {line}: {error}")),
        }
    }
    errors.dedup();
    if errors.is_empty() {
        Ok(steps)
    } else {
        Err(errors)
    }
}

fn strip(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// Replaces `for` by its repetitions.
fn unroll(lines: &[(usize, String)]) -> Result<Vec<(usize, String)>, String> {
    let mut flat = Vec::new();
    let mut index = 0;
    while let Some((number, text)) = lines.get(index) {
        index += 1;
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["for", name, "in", items @ ..] if !items.is_empty() => {
                let length = body_length(&lines[index..])
                    .ok_or_else(|| format!("line {number}: this `for` has no `end`"))?;
                let body = &lines[index..index + length];
                for item in items {
                    let variable = format!("${name}");
                    let filled: Vec<(usize, String)> = body
                        .iter()
                        .map(|(line, text)| (*line, text.replace(&variable, item)))
                        .collect();
                    flat.extend(unroll(&filled)?);
                    if flat.len() > STEPS_MAX {
                        return Err(format!("line {number}: more than {STEPS_MAX} steps"));
                    }
                }
                index += length + 1;
            }
            ["for", ..] => return Err(format!("line {number}: write `for NAME in A B C`")),
            ["end"] => return Err(format!("line {number}: `end` without `for`")),
            _ => flat.push((*number, text.clone())),
        }
    }
    Ok(flat)
}

fn body_length(lines: &[(usize, String)]) -> Option<usize> {
    let mut depth = 0;
    for (index, (_, text)) in lines.iter().enumerate() {
        match text.split_whitespace().next() {
            Some("for") => depth += 1,
            Some("end") if depth == 0 => return Some(index),
            Some("end") => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Reads one verb.
pub(crate) fn parse(text: &str) -> Result<Verb, String> {
    let (text, beside) = match text.trim().strip_suffix('&') {
        Some(text) => (text.trim(), true),
        None => (text.trim(), false),
    };
    let (head, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let words: Vec<&str> = rest.split_whitespace().collect();
    if let Some(verb) = parse_ticket(head, &words, beside)? {
        return Ok(verb);
    }
    if beside {
        return Err(format!(
            "`{head}` cannot run beside what follows, only ticket commands can"
        ));
    }
    match (head, words.as_slice()) {
        ("set", [key, value]) => Ok(Verb::Set((*key).into(), (*value).into())),
        ("require", [feature]) => Ok(Verb::Require((*feature).into())),
        ("start", []) => Ok(Verb::Start),
        ("say", [_, ..]) => Ok(Verb::Say(rest.into())),
        ("wait", [_, ..]) => Ok(Verb::Wait(Span::parse(rest)?)),
        ("join", []) => Ok(Verb::Join),
        ("until", [_, ..]) => parse_until(rest),
        ("kill", [target]) => Ok(Verb::Signal(Signal::Kill, parse_target(target)?)),
        ("stop", [target]) => Ok(Verb::Signal(Signal::Stop, parse_target(target)?)),
        ("cont", [target]) => Ok(Verb::Signal(Signal::Cont, parse_target(target)?)),
        ("term", [target]) => Ok(Verb::Signal(Signal::Term, parse_target(target)?)),
        ("restart", [target]) => Ok(Verb::Restart(parse_target(target)?)),
        ("wipe", [member]) => Ok(Verb::Wipe(member_named(member)?)),
        ("corrupt", [member]) => Ok(Verb::Corrupt(member_named(member)?)),
        ("cut", ends) => Ok(Verb::Cut(parse_paths(ends)?)),
        ("heal", []) => Ok(Verb::Heal),
        ("latency", [ends @ .., span]) if Span::parse(span).is_ok() && !ends.is_empty() => {
            Ok(Verb::Latency(Span::parse(span)?, parse_paths(ends)?))
        }
        ("latency", [span, ends @ ..]) => {
            Ok(Verb::Latency(Span::parse(span)?, parse_paths_or_all(ends)?))
        }
        ("loss", [percent, ends @ ..]) => Ok(Verb::Loss(
            parse_percent(percent)?,
            parse_paths_or_all(ends)?,
        )),
        ("fault", [site, action, kind @ ..]) if !kind.is_empty() => Ok(Verb::Fault(
            site_named(site)?,
            parse_action(action)?,
            parse_fault(kind)?,
        )),
        ("step-clock", [member, seconds]) => Ok(Verb::StepClock(
            member_named(member)?,
            seconds
                .parse()
                .map_err(|_| format!("`{seconds}`: whole seconds, as -3600"))?,
        )),
        ("expect", [_, ..]) => parse_expect(&words),
        ("status", []) => Ok(Verb::Status),
        ("help", _) => Ok(Verb::Help),
        ("quit" | "exit", []) => Ok(Verb::Quit),
        _ => Err(unknown(text, head)),
    }
}

/// The verbs that are the command line's own.
fn parse_ticket(head: &str, words: &[&str], beside: bool) -> Result<Option<Verb>, String> {
    let ticket = crate::settings::TICKET;
    // There is one ticket; its name may be given or left out.
    let words = match words {
        [first, rest @ ..] if *first == ticket && head != "ticket" => rest,
        all => all,
    };
    let arguments = match (head, words) {
        ("grant", []) => vec!["grant", ticket, "--to", SITES[0]],
        ("grant", [site]) => vec!["grant", ticket, "--to", known_site(site)?],
        ("move", [site]) => vec!["move", ticket, "--to", known_site(site)?],
        ("revoke" | "standby" | "activate", []) => vec![head, ticket],
        ("ticket", [_, ..]) => words.to_vec(),
        _ => return Ok(None),
    };
    Ok(Some(Verb::Ticket(
        arguments.into_iter().map(str::to_owned).collect(),
        beside,
    )))
}

fn parse_until(rest: &str) -> Result<Verb, String> {
    let (text, span) = rest
        .rsplit_once(" within ")
        .ok_or("write `until TEXT within 5s`")?;
    Ok(Verb::Until(text.trim().into(), Span::parse(span)?))
}

fn parse_expect(words: &[&str]) -> Result<Verb, String> {
    let find = |word| words.iter().position(|known| *known == word);
    let (end, within, during) = match (find("within"), find("for")) {
        (Some(at), None) => (at, Some(Span::parse(&words[at + 1..].join(" "))?), None),
        (None, Some(at)) => (at, None, Some(Span::parse(&words[at + 1..].join(" "))?)),
        (None, None) => (words.len(), None, None),
        _ => return Err("`within` or `for`, not both".into()),
    };
    let wish = match &words[..end] {
        ["serving", "at", site] => Wish::Serving(site_named(site)?),
        ["served"] => Wish::Served,
        ["not", "serving", "at", site] => Wish::NotServing(site_named(site)?),
        ["nothing", "serving"] => Wish::NothingServing,
        ["holder", "none"] => Wish::Holder(None),
        ["holder", site] => Wish::Holder(Some(site_named(site)?)),
        ["dead", target] => Wish::Dead(parse_target(target)?),
        ["alive", target] => Wish::Alive(parse_target(target)?),
        ["exit", "nonzero"] => Wish::NonZero,
        ["exit", code] => Wish::Code(code.parse().map_err(|_| format!("`{code}` is no code"))?),
        ["output", text @ ..] if !text.is_empty() => Wish::Output(text.join(" ")),
        ["gap", "below", span @ ..] => Wish::GapBelow(Span::parse(&span.join(" "))?),
        ["stop", "before", "start"] => Wish::StopBeforeStart,
        ["all", "well"] => Wish::AllWell,
        ["asked"] => Wish::Asked,
        ["stop-begun"] => Wish::Since("stop", false),
        ["stop-done"] => Wish::Since("stop", true),
        ["start-begun"] => Wish::Since("start", false),
        ["start-done"] => Wish::Since("start", true),
        ["first", "answer", "below", span @ ..] => {
            Wish::FirstAnswerBelow(Span::parse(&span.join(" "))?)
        }
        ["no", "standby"] => Wish::NoStandby,
        ["one", "owner"] => Wish::OneOwner,
        ["store", "refused"] => Wish::StoreRefused,
        ["overlap"] => Wish::Overlap,
        ["protection", word] => Wish::Protection((*word).into()),
        other => {
            return Err(format!(
                "`expect {}`: not known, see `help`",
                other.join(" ")
            ));
        }
    };
    Ok(Verb::Expect {
        wish,
        within,
        during,
    })
}

/// `A B`: both ways; `A -> B`: one way; `A`: everything from and to `A`.
fn parse_paths(ends: &[&str]) -> Result<Vec<(String, String)>, String> {
    match ends {
        [one, "->", other] => Ok(vec![(member_named(one)?, member_named(other)?)]),
        [one, other] => {
            let (one, other) = (member_named(one)?, member_named(other)?);
            Ok(vec![(one.clone(), other.clone()), (other, one)])
        }
        [one] => {
            let one = member_named(one)?;
            let others = crate::settings::members().filter(|other| *other != one);
            Ok(others
                .flat_map(|other| [(one.clone(), other.to_owned()), (other.into(), one.clone())])
                .collect())
        }
        _ => Err("write `berlin paris`, `berlin -> paris` or `berlin`".into()),
    }
}

fn parse_paths_or_all(ends: &[&str]) -> Result<Vec<(String, String)>, String> {
    if !ends.is_empty() {
        return parse_paths(ends);
    }
    let mut all = Vec::new();
    for from in crate::settings::members() {
        for to in crate::settings::members().filter(|to| *to != from) {
            all.push((from.to_owned(), to.to_owned()));
        }
    }
    Ok(all)
}

/// `2%` in parts per million.
fn parse_percent(text: &str) -> Result<u32, String> {
    let number = text
        .strip_suffix('%')
        .and_then(|number| number.parse::<f64>().ok());
    match number {
        Some(number) if (0.0..=100.0).contains(&number) => Ok((number * 10_000.0) as u32),
        _ => Err(format!("`{text}`: write a percentage as 2%")),
    }
}

fn parse_action(text: &str) -> Result<String, String> {
    match text {
        "start" | "stop" | "monitor" | "grant" | "revoke" | "extend" | "status" => Ok(text.into()),
        _ => Err(format!(
            "`{text}` cannot fail by order: start, stop, monitor, or a cluster command"
        )),
    }
}

fn parse_fault(words: &[&str]) -> Result<String, String> {
    match words {
        ["hang" | "fail" | "off"] => Ok(words[0].into()),
        ["slow", seconds] if seconds.parse::<f64>().is_ok() => Ok(format!("slow {seconds}")),
        _ => Err("write hang, fail, slow SECONDS or off".into()),
    }
}

fn parse_target(text: &str) -> Result<Target, String> {
    let Some((member, part)) = text.split_once('.') else {
        return Ok(Target::Member(member_named(text)?));
    };
    let site = site_named(member)?;
    match part {
        "agent" => Ok(Target::Daemon(site, Daemon::Agent)),
        "stack" => Ok(Target::Daemon(site, Daemon::Stack)),
        "guard" => Ok(Target::Daemon(site, Daemon::Guard)),
        "service" => Ok(Target::Service(site)),
        _ => Err(format!(
            "`{text}`: a site has agent, stack, guard and service"
        )),
    }
}

fn known_site(text: &str) -> Result<&str, String> {
    if SITES.contains(&text) {
        return Ok(text);
    }
    Err(format!("`{text}` is not a site: {}", SITES.join(", ")))
}

fn site_named(text: &str) -> Result<String, String> {
    known_site(text).map(str::to_owned)
}

fn member_named(text: &str) -> Result<String, String> {
    if is_member(text) {
        return Ok(text.into());
    }
    Err(format!(
        "`{text}` is not a member: {}, {ARBITRATOR}",
        SITES.join(", ")
    ))
}

fn unknown(text: &str, head: &str) -> String {
    match head {
        "set" | "require" | "start" | "say" | "wait" | "join" | "until" | "kill" | "stop"
        | "cont" | "term" | "restart" | "wipe" | "corrupt" | "heal" | "fault" | "step-clock"
        | "expect" | "status" | "quit" | "grant" | "move" | "revoke" | "standby" | "activate"
        | "ticket" | "latency" | "loss" => format!("`{text}`: wrong arguments, see `help`"),
        _ => format!("`{head}` is not a verb, see `help`"),
    }
}

/// What `help` prints.
pub(crate) const HELP: &str = "\
tickets   grant SITE · move SITE · revoke · standby · activate · ticket ARGS…   (& at the end: beside)
processes kill T · stop T (SIGSTOP) · cont T · term T · restart T · wipe MEMBER · corrupt MEMBER
          T is berlin (the whole site), berlin.agent, berlin.stack, berlin.guard, berlin.service, arb
network   cut A B · cut A -> B · cut A · heal · latency 40ms [A B] · loss 2% [A B]
drills    fault SITE start|stop|monitor hang|fail|slow S|off · step-clock MEMBER SECONDS
look      status · say TEXT · wait 2s · help · quit
scripts   set KEY VALUE · require FEATURE · start · for X in A B … end · join · until TEXT within 5s
          expect serving at SITE | served | not serving at SITE | nothing serving | holder SITE|none
                 | dead T | alive T | exit CODE|nonzero | output TEXT | gap below 2s
                 | stop before start | no standby | one owner | store refused | protection WORD
                 | asked, stop-begun, stop-done, start-begun, start-done (by the last ticket command)
                 | first answer below 3s | all well
                 [within lease+acquire-after+2s | for 3*lease]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_help_is_understood() {
        for text in [
            "grant",
            "grant paris",
            "move paris &",
            "revoke",
            "standby",
            "activate",
            "ticket list",
            "kill berlin",
            "stop berlin.agent",
            "cont berlin.stack",
            "term berlin.guard",
            "kill paris.service",
            "restart arb",
            "wipe arb",
            "corrupt paris",
            "cut berlin paris",
            "cut berlin -> arb",
            "cut berlin",
            "heal",
            "latency 40ms",
            "latency 40ms berlin arb",
            "latency berlin arb 40ms",
            "grant web berlin",
            "revoke web",
            "loss 2%",
            "loss 2.5% berlin -> paris",
            "fault berlin stop hang",
            "fault berlin start slow 1.5",
            "step-clock arb -3600",
            "status",
            "say hello there",
            "wait 3*lease",
            "help",
            "quit",
            "set lease 2s",
            "require weaken",
            "start",
            "join",
            "until waiting for berlin within 5s",
            "expect serving at paris within lease+acquire-after+2s",
            "expect not serving at berlin for 3*lease",
            "expect holder none",
            "expect dead berlin",
            "expect exit nonzero",
            "expect exit 106",
            "expect output no majority",
            "expect gap below 2s",
            "expect stop before start",
            "expect start-done within 8s",
            "expect first answer below 3s",
            "expect all well within 5s",
            "expect asked",
            "expect no standby within 3s",
            "expect one owner",
            "expect store refused",
            "expect overlap",
            "expect nothing serving",
            "expect served",
            "expect alive berlin.guard",
            "expect protection process",
        ] {
            if let Err(error) = parse(text) {
                panic!("{text}: {error}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, says) in [
            ("kil berlin", "`kil` is not a verb"),
            ("kill madrid", "`madrid` is not a member"),
            ("kill arb.agent", "`arb` is not a site"),
            ("kill berlin.kernel", "agent, stack, guard and service"),
            ("kill berlin &", "only ticket commands"),
            ("loss 200%", "percentage"),
            ("wait", "wrong arguments"),
            ("expect happiness", "not known"),
            ("expect served within 1s for 2s", "not both"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn loops_are_unrolled_and_errors_keep_their_line() {
        let script = "for who in agent stack # both\n for site in berlin paris\n kill $site.$who\n end\nend\nquit";
        let steps = parse_script(script).unwrap();
        let texts: Vec<&str> = steps.iter().map(|step| step.text.as_str()).collect();
        let wanted = [
            "kill berlin.agent",
            "kill paris.agent",
            "kill berlin.stack",
            "kill paris.stack",
            "quit",
        ];
        assert_eq!(texts, wanted);
        let errors = parse_script("start\n\nkill nobody\nsay\n").unwrap_err();
        assert_eq!(errors.len(), 2);
        assert!(errors[0].starts_with("line 3:") && errors[1].starts_with("line 4:"));
        assert!(parse_script("for a in b\nstart").is_err());
        assert!(parse_script("end").is_err());
    }

    #[test]
    fn a_one_way_cut_is_one_direction() {
        let one_way = Verb::Cut(vec![("berlin".into(), "arb".into())]);
        assert_eq!(parse("cut berlin -> arb"), Ok(one_way));
        let Ok(Verb::Cut(paths)) = parse("cut arb") else {
            panic!("no cut")
        };
        assert_eq!(paths.len(), 4);
    }
}
