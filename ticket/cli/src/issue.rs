//! `ticket issue`: a certificate for a member, and its directory if it has none yet.

use std::fs;
use std::path::Path;

use link::ca::{Ca, MEMBER_VALIDITY, certificate_file, key_file};
use serde_json::json;
use ticket_admin::{Code, Failure};
use ticket_config::{Member, Options, load_with};

use crate::args::Issue;
use crate::bundle::{self, CA, LAYOUT, Layout, SHARED, ca_failure};
use crate::connect::no_such;
use crate::output::{Output, Paint, Stop};

/// Makes one certificate.
pub(crate) fn issue(out: &Output, args: &Issue) -> Result<Code, Stop> {
    let shared_path = args.dir.join(SHARED);
    let options = Options {
        member: None,
        need_member: false,
    };
    let config = load_with(&shared_path, options).map_err(Stop::Findings)?;
    let Some(member) = config.find_member(&args.member) else {
        let mut nodes = config.devices.iter().flat_map(|device| &device.nodes);
        if nodes.any(|(name, _)| *name == args.member) {
            return issue_node(out, args, &config.cluster.name);
        }
        let names: Vec<&str> = config.members.iter().map(|it| it.name.as_str()).collect();
        return Err(no_such("member", &args.member, &names).into());
    };
    let ca = Ca::load(&args.dir.join(CA)).map_err(ca_failure)?;
    let (layout, manager) = layout(&args.dir)?;
    let directory = args.dir.join(&member.name);
    let validity = args.validity.unwrap_or(MEMBER_VALIDITY);
    let cluster = &config.cluster.name;
    if directory.exists() {
        let certificate = layout.pki(&directory).join(certificate_file(&member.name));
        if certificate.exists() && !args.renew {
            let what = format!(
                "{} has a certificate: {}",
                member.name,
                certificate.display()
            );
            return Err(Failure::new(Code::Exists, what)
                .hint("--renew replaces it")
                .into());
        }
        // No mark: a member that has voted must not start as one that never did.
        replace(&ca, cluster, member, validity, &layout.pki(&directory))?;
    } else {
        let shared = fs::read_to_string(&shared_path).map_err(|error| {
            Failure::new(Code::NoInput, format!("{}: {error}", shared_path.display()))
        })?;
        let own = bundle::own_tables(layout, member.role, &manager);
        let staging = args
            .dir
            .join(format!(".{}.{}", member.name, std::process::id()));
        let made = bundle::write(&staging, layout, &shared, &own, member)
            .and_then(|()| bundle::certify(&ca, cluster, member, validity, &layout.pki(&staging)))
            .and_then(|()| {
                fs::rename(&staging, &directory)
                    .map_err(|error| bundle::cannot_create(&directory, &error))
            });
        if let Err(failure) = made {
            bundle::clean_up(&staging);
            return Err(failure.into());
        }
    }
    report(out, member, &layout.pki(&directory));
    Ok(Code::Done)
}

/// A certificate for a site's node that asks the arbitrator, its quorum device, for a vote.
fn issue_node(out: &Output, args: &Issue, cluster: &str) -> Result<Code, Stop> {
    let ca = Ca::load(&args.dir.join(CA)).map_err(ca_failure)?;
    let (name, pki) = (&args.member, args.dir.join(&args.member));
    if args.renew {
        for file in [certificate_file(name), key_file(name)] {
            // Not there: nothing to replace.
            let _ = fs::remove_file(pki.join(file));
        }
    }
    if !pki.exists() {
        bundle::make_directory(&pki)?;
    }
    let validity = args.validity.unwrap_or(MEMBER_VALIDITY);
    bundle::certify_as(&ca, cluster, (NODE, name), validity, &pki)?;
    let (certificate, key) = (pki.join(certificate_file(name)), pki.join(key_file(name)));
    if out.json {
        out.print_json(json!({
            "result": "done",
            "member": name,
            "role": NODE,
            "certificate": certificate,
            "key": key,
        }));
        return Ok(Code::Done);
    }
    out.print(&format!(
        "node {name} has {} and {}\n  copy the directory to the node, and name it as pki of device in \
         its messaging.toml\n",
        certificate.display(),
        key.display()
    ));
    Ok(Code::Done)
}

/// The role of such a node.
const NODE: &str = "node";

/// New files beside the old ones, then in their places.
fn replace(
    ca: &Ca,
    cluster: &str,
    member: &Member,
    validity: std::time::Duration,
    pki: &Path,
) -> Result<(), Failure> {
    let fresh = pki.join(format!(".new.{}", std::process::id()));
    bundle::make_directory(&fresh)?;
    let made = bundle::certify(ca, cluster, member, validity, &fresh).and_then(|()| {
        for name in [key_file(&member.name), certificate_file(&member.name)] {
            let to = pki.join(&name);
            fs::rename(fresh.join(&name), &to)
                .map_err(|error| bundle::cannot_create(&to, &error))?;
        }
        Ok(())
    });
    bundle::clean_up(&fresh);
    made
}

/// How `ticket init` laid the members' directories out.
fn layout(directory: &Path) -> Result<(Layout, String), Failure> {
    let path = directory.join(CA).join(LAYOUT);
    let text = fs::read_to_string(&path).map_err(|error| {
        let what = format!("{}: {error}", path.display());
        Failure::new(Code::NoInput, what).hint("--dir names the directory that `ticket init` made")
    })?;
    let mut lines = text.lines();
    let layout = match lines.next() {
        Some("system") => Layout::System,
        Some("local") => Layout::Local,
        _ => {
            let what = format!("{} is not what `ticket init` wrote", path.display());
            return Err(Failure::new(Code::Data, what).hint("write \"system\" or \"local\" in it"));
        }
    };
    Ok((layout, lines.next().unwrap_or("none").to_owned()))
}

fn report(out: &Output, member: &Member, pki: &Path) {
    let certificate = pki.join(certificate_file(&member.name));
    let key = pki.join(key_file(&member.name));
    if out.json {
        out.print_json(json!({
            "result": "done",
            "member": member.name,
            "role": member.role.name(),
            "certificate": certificate,
            "key": key,
        }));
        return;
    }
    let symbol = out.style.symbol('\u{2713}', '+');
    out.print(&format!(
        "{}: {} {} has {} and {}\n  copy both to its pki directory; the key is nobody else's business\n",
        out.style.paint(Paint::Good, &format!("{symbol} done")),
        member.role.name(),
        member.name,
        certificate.display(),
        key.display(),
    ));
}
