//! From `interlock.toml` to what protocol and link are told, and the numbers of members.

use link::{Credentials, CredentialsError, Identity, LinkConfig, Peer, Pki};
use ticket_config::{Config, Member, Mode, Role, Ticket};
use ticket_protocol::{MemberId, Rules};

/// Environment variable with the safety rules, separated by commas, that a build with the feature
/// `weaken` goes without: the canary that shows that a test can see a violation.
pub const WEAKEN_VARIABLE: &str = "INTERLOCK_WEAKEN";

/// The role, in its certificate of this cluster, of a site's node that asks for the quorum device's
/// vote.
pub(crate) const NODE_ROLE: &str = "node";

/// Members by number and by name. A member's number is its place in the configuration's order.
#[derive(Debug, Clone)]
pub(crate) struct Roster {
    names: Vec<String>,
    me: MemberId,
}

impl Roster {
    /// `None` when the configuration does not say which member this is.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let names: Vec<String> = config.members.iter().map(|it| it.name.clone()).collect();
        let me = number_of(&names, config.member.as_deref()?)?;
        Some(Self { names, me })
    }

    pub(crate) fn me(&self) -> MemberId {
        self.me
    }

    /// A member's name; its number where there is none (a defect elsewhere).
    pub(crate) fn name(&self, member: MemberId) -> String {
        let name = self.names.get(usize::from(member.0));
        name.cloned().unwrap_or_else(|| member.to_string())
    }

    pub(crate) fn names(&self, members: &[MemberId]) -> Vec<String> {
        members.iter().map(|member| self.name(*member)).collect()
    }

    pub(crate) fn number(&self, name: &str) -> Option<MemberId> {
        number_of(&self.names, name)
    }
}

fn number_of(names: &[String], name: &str) -> Option<MemberId> {
    let index = names.iter().position(|known| known == name)?;
    u16::try_from(index).ok().map(MemberId)
}

/// What the protocol is told.
///
/// # Errors
/// `INTERLOCK_WEAKEN` names no rule, or this build has all of them for good.
pub(crate) fn protocol(
    config: &Config,
    roster: &Roster,
) -> Result<ticket_protocol::Config, String> {
    let members = config.members.iter().enumerate();
    let members = members
        .map(|(index, member)| ticket_protocol::Member {
            // At most `ticket_config::MEMBERS_MAX`, so it fits.
            id: MemberId(u16::try_from(index).unwrap_or(u16::MAX)),
            name: member.name.clone(),
            role: match member.role {
                Role::Site => ticket_protocol::Role::Site,
                Role::Arbitrator => ticket_protocol::Role::Arbitrator,
            },
        })
        .collect();
    let tickets = config.tickets.iter().map(|it| ticket(it, roster)).collect();
    Ok(ticket_protocol::Config {
        cluster: config.cluster.name.clone(),
        epoch: config.cluster.epoch,
        me: roster.me(),
        members,
        tickets,
        drift_ppm: config.cluster.drift_ppm,
        round_timeout: config.cluster.round_timeout,
        rules: rules(std::env::var(WEAKEN_VARIABLE).ok().as_deref())?,
    })
}

fn ticket(ticket: &Ticket, roster: &Roster) -> ticket_protocol::TicketConfig {
    let name = &ticket.name;
    match ticket.mode {
        Mode::Manual => ticket_protocol::TicketConfig::manual(name),
        Mode::Auto => ticket_protocol::TicketConfig {
            renew_every: ticket.renew_every,
            prefer: ticket
                .prefer
                .iter()
                .filter_map(|site| roster.number(site))
                .collect(),
            ..ticket_protocol::TicketConfig::auto(name, ticket.lease, ticket.acquire_after)
        },
    }
}

fn rules(weaken: Option<&str>) -> Result<Rules, String> {
    let names = weaken.unwrap_or_default().split(',').map(str::trim);
    let mut rules = Rules::default();
    for name in names.filter(|name| !name.is_empty()) {
        // Built together with the simulator, the protocol has the switch; a daemon that was not asked
        // for it must not obey it.
        let known = Rules::without(name).filter(|_| cfg!(feature = "weaken"));
        let without = known.ok_or_else(|| {
            format!(
                "{WEAKEN_VARIABLE}={name}: unset it; or, in a build with the feature `weaken`, \
                 name some of {}",
                Rules::NAMES.join(", ")
            )
        })?;
        rules = in_both(rules, without);
        tracing::warn!(rule = name, "a safety rule is switched off: for tests only");
    }
    Ok(rules)
}

/// The rules that are in force in both.
fn in_both(one: Rules, other: Rules) -> Rules {
    let table = |rules| match serde_json::to_value(rules) {
        Ok(serde_json::Value::Object(table)) => table,
        _ => serde_json::Map::new(),
    };
    let mut both = table(one);
    for (name, on) in table(other) {
        if on == false {
            both.insert(name, on);
        }
    }
    // Both are tables of the same type, so that the result is one too.
    serde_json::from_value(both.into()).unwrap_or(one)
}

/// This member's certificate and key, checked.
///
/// # Errors
/// What is wrong with them; nothing was changed.
pub(crate) fn credentials(config: &Config, me: &Member) -> Result<Credentials, CredentialsError> {
    let pki = Pki {
        ca: config.paths.ca(),
        certificate: config.paths.certificate(&me.name),
        key: config.paths.key(&me.name),
    };
    let identity = Identity {
        cluster: config.cluster.name.clone(),
        role: me.role.name().to_owned(),
        name: me.name.clone(),
    };
    Credentials::load(&pki, &identity)
}

/// What the link is told.
pub(crate) fn link(config: &Config, me: &Member, credentials: Credentials) -> LinkConfig {
    let others = config.members.iter().filter(|it| it.name != me.name);
    // Nodes that ask for the quorum device's vote dial the arbitrator; a site has nothing for them.
    let devices = config
        .devices
        .iter()
        .filter(|_| me.role == Role::Arbitrator);
    let nodes = devices
        .flat_map(|device| &device.nodes)
        .map(|(name, _)| Peer {
            name: name.clone(),
            role: NODE_ROLE.to_owned(),
            addresses: Vec::new(),
        });
    let peers = others
        .map(|member| Peer {
            name: member.name.clone(),
            role: member.role.name().to_owned(),
            addresses: member.addresses.iter().map(ToString::to_string).collect(),
        })
        .chain(nodes)
        .collect();
    LinkConfig::new(credentials, me.listen.clone(), peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_goes_only_in_a_build_for_that() {
        assert_eq!(rules(None), Ok(Rules::default()));
        assert_eq!(rules(Some("")), Ok(Rules::default()));
        assert!(rules(Some("obligation")).is_err_and(|text| text.contains("obligation-at-accept")));
        let weak = rules(Some("obligation-at-accept,acquire-after"));
        if cfg!(feature = "weaken") {
            let weak = weak.expect("a test build");
            assert_ne!(weak, Rules::without("acquire-after").expect("a rule"));
            assert_ne!(weak, Rules::default());
        } else {
            assert!(weak.is_err());
        }
    }
}
