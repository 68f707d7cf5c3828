//! `ticket init`: a certificate authority, a first configuration, and a directory for each member.

use std::fs;
use std::path::{Path, PathBuf};

use link::ca::{Ca, MEMBER_VALIDITY};
use serde_json::json;
use ticket_admin::{Code, Failure};
use ticket_config::{Config, Options, Role, duration, load_text};

use crate::args::Init;
use crate::bundle::{self, CA, LAYOUT, Layout, SHARED, ca_failure, quote};
use crate::output::{Output, Paint, Stop, plural};

/// Makes everything, or nothing.
pub(crate) fn init(out: &Output, args: &Init) -> Result<Code, Stop> {
    let layout = if args.local {
        Layout::Local
    } else {
        Layout::System
    };
    let manager = args.cluster_manager.as_str();
    if !matches!(manager, "local-stack" | "none") && !manager.starts_with('/') {
        let what = format!("--cluster-manager: \"{manager}\" is not known");
        let hint = "write local-stack, none, or the absolute path of a command";
        return Err(Failure::new(Code::Usage, what).hint(hint).into());
    }
    let shared = shared(args)?;
    let config = check(args, layout, &shared)?;
    refuse_existing(&args.dir)?;
    let staging = staging(&args.dir)?;
    let made = make(args, layout, &shared, &config, &staging)
        .and_then(|()| put_in_place(&staging, &args.dir));
    if let Err(failure) = made {
        bundle::clean_up(&staging);
        return Err(failure.into());
    }
    report(out, args, layout, &config);
    Ok(Code::Done)
}

/// The configuration that all members have.
fn shared(args: &Init) -> Result<String, Failure> {
    let mut text = format!(
        "# The same at every member; what differs is in conf.d.\n[cluster]\nname = {}\n",
        quote(&args.cluster)
    );
    let members = args.sites.iter().map(|site| (site, Role::Site));
    let members = members.chain(args.arbitrators.iter().map(|it| (it, Role::Arbitrator)));
    for (written, role) in members {
        let Some((name, addresses)) = written.split_once('=') else {
            let what = format!("`{written}` names no address");
            let hint = "write NAME=HOST or NAME=HOST:PORT; several addresses with commas";
            return Err(Failure::new(Code::Usage, what).hint(hint));
        };
        let addresses: Vec<String> = addresses.split(',').map(quote).collect();
        text.push_str(&format!(
            "\n[member.{}]\nrole = \"{}\"\naddress = [{}]\n",
            key(name),
            role.name(),
            addresses.join(", ")
        ));
    }
    for name in &args.tickets {
        text.push_str(&format!("\n[ticket.{}]\n", key(name)));
        if args.manual {
            text.push_str("mode = \"manual\"\n");
        }
        for (key, value) in [
            ("lease", args.lease),
            ("acquire-after", args.acquire_after),
            ("stop-budget", args.stop_budget),
        ] {
            if let Some(value) = value {
                text.push_str(&format!("{key} = \"{}\"\n", duration::format(value)));
            }
        }
    }
    Ok(text)
}

/// A name as a TOML key.
fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match !name.is_empty() && name.bytes().all(bare) {
        true => name.to_owned(),
        false => quote(name),
    }
}

/// Checks what every member would read, before anything is written.
fn check(args: &Init, layout: Layout, shared: &str) -> Result<Config, Stop> {
    let alone = load_text(&args.dir.join(SHARED), shared, Options::default());
    let config = alone.map_err(Stop::Findings)?;
    for member in &config.members {
        let own = bundle::own_tables(layout, member.role, &args.cluster_manager);
        let path = layout.config(&args.dir.join(&member.name));
        let options = Options {
            member: Some(&member.name),
            need_member: true,
        };
        load_text(&path, &format!("{shared}{own}"), options).map_err(Stop::Findings)?;
    }
    Ok(config)
}

/// Keys are never overwritten, and a cluster is not made twice.
fn refuse_existing(directory: &Path) -> Result<(), Failure> {
    let empty = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(bundle::cannot_create(directory, &error)),
    };
    if empty {
        return Ok(());
    }
    let what = format!("{} is not empty; nothing was changed", directory.display());
    Err(Failure::new(Code::Exists, what).hint("name another directory with --dir"))
}

/// A directory beside the one that is to be made, so that it can take its place at once.
fn staging(directory: &Path) -> Result<PathBuf, Failure> {
    let Some(name) = directory.file_name() else {
        let what = format!("{} cannot be made", directory.display());
        return Err(Failure::new(Code::Usage, what).hint("name a new directory with --dir"));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let staging = directory.with_file_name(hidden);
    bundle::make_directory(&staging)?;
    Ok(staging)
}

fn make(
    args: &Init,
    layout: Layout,
    shared: &str,
    config: &Config,
    staging: &Path,
) -> Result<(), Failure> {
    let ca_directory = staging.join(CA);
    bundle::make_directory(&ca_directory)?;
    let ca = Ca::create(&config.cluster.name).map_err(ca_failure)?;
    ca.save(&ca_directory).map_err(ca_failure)?;
    let words = format!("{}\n{}\n", layout.name(), args.cluster_manager);
    bundle::write_file(&ca_directory.join(LAYOUT), &words)?;
    bundle::write_file(&staging.join(SHARED), shared)?;
    for member in &config.members {
        let directory = staging.join(&member.name);
        let own = bundle::own_tables(layout, member.role, &args.cluster_manager);
        bundle::write(&directory, layout, shared, &own, member)?;
        let name = &config.cluster.name;
        bundle::certify(&ca, name, member, MEMBER_VALIDITY, &layout.pki(&directory))?;
    }
    Ok(())
}

fn put_in_place(staging: &Path, directory: &Path) -> Result<(), Failure> {
    // Takes the place of an empty directory too, and of nothing else.
    fs::rename(staging, directory).map_err(|error| bundle::cannot_create(directory, &error))
}

fn report(out: &Output, args: &Init, layout: Layout, config: &Config) {
    let directory = args.dir.display();
    let steps: Vec<String> = config
        .members
        .iter()
        .map(|member| {
            let name = &member.name;
            let program = match member.role {
                Role::Site => "site-agent",
                Role::Arbitrator => "arbitrator",
            };
            match layout {
                Layout::Local => format!("{program} --config {directory}/{name}/{SHARED}"),
                Layout::System => format!(
                    "tar -C {directory}/{name} -c . | ssh {name} 'sudo tar -C / -x --no-same-owner && \
                     sudo systemctl enable --now interlock-{program}'"
                ),
            }
        })
        .collect();
    if out.json {
        let members: Vec<_> = config
            .members
            .iter()
            .zip(&steps)
            .map(|(member, next)| {
                let path = args.dir.join(&member.name);
                json!({
                    "name": member.name,
                    "role": member.role.name(),
                    "directory": path,
                    "config": layout.config(&path),
                    "next": next,
                })
            })
            .collect();
        out.print_json(json!({
            "result": "done",
            "cluster": config.cluster.name,
            "directory": args.dir,
            "ca": args.dir.join(CA),
            "members": members,
        }));
        return;
    }
    let symbol = out.style.symbol('\u{2713}', '+');
    let mut text = format!(
        "{}: cluster {} with {} and {} in {directory}\n",
        out.style.paint(Paint::Good, &format!("{symbol} done")),
        config.cluster.name,
        plural(config.members.len(), "member"),
        plural(config.tickets.len(), "ticket"),
    );
    text.push_str(&format!(
        "  {directory}/{CA}/ca.key signs certificates: take it offline when all members have theirs\n"
    ));
    let next = match layout {
        Layout::Local => "start:",
        Layout::System => "next, for each member (its user must be able to read its key):",
    };
    text.push_str(&format!("{}\n", out.style.paint(Paint::Bold, next)));
    for step in &steps {
        text.push_str(&format!("  {step}\n"));
    }
    out.print(&text);
    for warning in &config.warnings {
        out.remark(&warning.headline());
    }
}
