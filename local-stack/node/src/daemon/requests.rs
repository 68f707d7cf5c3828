//! Answers to the control socket.

use std::time::Duration;

use cib::Cib;
use stack_api::stack::{Answer, Check, Do, Outcome, Request, Resource, SiteNodes, Status};
use stack_api::{ErrorBody, ErrorCode};
use tokio::time::Instant;

use super::{Daemon, Input, Proposal, Saved, now};
use crate::control::is_query;
use crate::convert;
use crate::disk::save_cib;

/// How long a configuration waits for the majority to agree to the holds that it needs: some round
/// trips. Longer means that it cannot be agreed now; the deadline then stays in force.
const HOLD_AGREEMENT_MAX: Duration = Duration::from_secs(2);

impl Daemon {
    pub(super) fn input(&mut self, input: Input) {
        match input {
            Input::Gone(peer) => self.control.gone(peer),
            Input::Garbage(peer, what) => self.control.refuse(peer, what),
            Input::Request(peer, Request { id, r#do }) => {
                let result = match r#do {
                    // Answered when it is on disk.
                    Do::CibReplace { xml, force } if self.site.is_some() => self
                        .replace_everywhere(peer, id, &xml, force)
                        .map(|()| None),
                    Do::CibReplace { xml, .. } => self.replace(peer, id, &xml).map(|()| None),
                    other => self.answer(peer, other).map(Some),
                };
                // The effects of a lease belong to its answer's state.
                self.perform();
                match result {
                    Ok(None) => {}
                    Ok(Some(answer)) => self.control.answer(peer, id, Outcome::Ok(answer)),
                    Err(error) => self.control.answer(peer, id, Outcome::Error(error)),
                }
            }
        }
    }

    fn answer(&mut self, peer: u64, request: Do) -> Result<Answer, ErrorBody> {
        if self.controller.is_stopping() && !is_query(&request) {
            return Err(ErrorBody::new(
                ErrorCode::Unavailable,
                "the daemon is stopping",
            ));
        }
        let now = now(self.options.clock);
        match request {
            Do::Lease(lease) => {
                if !self.options.tickets {
                    return Err(ErrorBody::new(
                        ErrorCode::Unavailable,
                        "tickets are disabled on this node (--tickets off)",
                    ));
                }
                let ticket = lease.ticket.clone();
                self.controller.handle_lease(now, convert::lease(lease));
                Ok(Answer::Ticket(self.ticket(&ticket)))
            }
            Do::TicketStatus(name) => {
                // Judged now, not when the timer was last looked at.
                self.controller.handle_timeout(now);
                Ok(Answer::Ticket(self.ticket(&name.ticket)))
            }
            Do::CheckTicket(name) => self.check(&name.ticket).map(Answer::Check),
            Do::Status => Ok(Answer::Status(self.status())),
            Do::Subscribe => {
                self.control.subscribe(peer);
                Ok(Answer::Subscribed)
            }
            Do::CibQuery { scope } => self.query(scope.as_deref()),
            Do::CibReplace { .. } => Err(ErrorBody::new(
                ErrorCode::Software,
                "a replacement is not answered here",
            )),
            Do::ResourceCleanup { resource } => {
                let cleaned = self.controller.handle_cleanup(now, resource.as_deref());
                cleaned
                    .map(|resources| Answer::Cleaned { resources })
                    .map_err(|name| {
                        ErrorBody::new(ErrorCode::NoSuchObject, format!("no resource {name}"))
                            .hint("`local-stack resource list` shows them")
                    })
            }
            Do::Attribute(attribute) => {
                let (node, value) = (attribute.node.as_deref(), attribute.value.as_deref());
                let set = self
                    .controller
                    .handle_attribute(now, node, &attribute.name, value);
                set.map(|()| Answer::Attribute).map_err(|why| {
                    ErrorBody::new(ErrorCode::NoSuchObject, why).hint("nothing was changed")
                })
            }
            Do::Shutdown => {
                self.shut_down("asked for");
                Ok(Answer::ShuttingDown)
            }
        }
    }

    fn ticket(&self, ticket: &str) -> stack_api::stack::TicketStatus {
        self.shown(self.controller.ticket(ticket))
    }

    fn check(&self, ticket: &str) -> Result<Check, ErrorBody> {
        let controller::Check {
            mut able,
            mut problems,
        } = self.controller.check(ticket);
        let view = self.controller.ticket(ticket);
        for dependent in &view.dependents {
            let resources = self.controller.resources();
            let agent = resources
                .iter()
                .find(|resource| resource.id == dependent.resource);
            let Some(agent) = agent.and_then(|resource| parse_agent(&resource.agent)) else {
                continue;
            };
            // Where agents of the other classes are is found out when they are run.
            if agent.class == "ocf"
                && let Err(missing) = agent.find(&self.options.agents)
            {
                able = false;
                problems.push(missing.to_string());
            }
        }
        if self.options.tickets && !view.dependents.is_empty() && self.guard.is_none() {
            able = false;
            problems.push("no guard answers on this node".to_owned());
        }
        Ok(Check { able, problems })
    }

    fn status(&self) -> Status {
        let protection = self.protection();
        let limits = self
            .guard
            .as_ref()
            .map(|guard| guard.limits.clone())
            .unwrap_or_default();
        Status {
            node: self.options.node.clone(),
            site: self.options.site.clone(),
            site_nodes: self.site_nodes(),
            phase: if self.controller.is_stopping() {
                "stopping"
            } else {
                "running"
            }
            .to_owned(),
            cib_version: self.controller.cib().version().to_string(),
            busy: self.controller.is_busy(),
            protection,
            limits,
            resources: self.resources(),
            tickets: self
                .controller
                .tickets()
                .into_iter()
                .map(|view| self.shown(view))
                .collect(),
            configuration_errors: self.controller.diagnostics().to_vec(),
        }
    }

    /// How the CIB's status reads.
    fn judged(&self) -> scheduler::Status {
        let inputs = scheduler::Inputs {
            now: self.options.clock.wall_s(),
            grants: None,
        };
        scheduler::status(self.controller.cib(), &inputs)
    }

    fn resources(&self) -> Vec<Resource> {
        let views = self.controller.resources().into_iter();
        let mut resources: Vec<Resource> = views.map(convert::resource).collect();
        if self.site.is_some() {
            let judged = self.judged();
            for resource in &mut resources {
                resource.nodes = convert::places(&judged, &resource.id);
                if let Some(state) = convert::site_state(&judged, &resource.id) {
                    resource.state = state;
                }
            }
        }
        resources
    }

    /// The site's nodes, of a site of several.
    fn site_nodes(&self) -> Option<SiteNodes> {
        self.site.as_ref()?;
        let replica = self.controller.replica();
        let coordinator = replica.coordinator().map(|node| node.uname);
        let judged = self.judged();
        Some(SiteNodes {
            view: replica.view().name.clone(),
            agreed: replica.is_synced(),
            quorate: replica.is_quorate(),
            nodes: judged
                .nodes
                .iter()
                .map(|node| convert::site_node(node, coordinator.as_deref()))
                .collect(),
            coordinator,
        })
    }

    fn query(&self, scope: Option<&str>) -> Result<Answer, ErrorBody> {
        let cib = self.controller.cib();
        let Some(scope) = scope else {
            return Ok(Answer::Cib { xml: cib.to_text() });
        };
        let root = cib.root();
        let found = root
            .children()
            .chain(root.children().flat_map(cib::Element::children));
        let found = found.into_iter().find(|element| element.name() == scope);
        found
            .map(|element| Answer::Cib {
                xml: element.to_text(),
            })
            .ok_or_else(|| {
                ErrorBody::new(ErrorCode::NoSuchObject, format!("the CIB has no <{scope}>"))
                    .hint("configuration, status, resources, constraints, nodes, crm_config ...")
            })
    }

    /// Writes a new configuration beside the loop; one at a time.
    fn replace(&mut self, peer: u64, id: u64, xml: &str) -> Result<(), ErrorBody> {
        if self.controller.is_stopping() {
            return Err(ErrorBody::new(
                ErrorCode::Unavailable,
                "the daemon is stopping",
            ));
        }
        if self.saving {
            return Err(
                ErrorBody::new(ErrorCode::Unavailable, "another change is being written")
                    .hint("nothing was changed; try again"),
            );
        }
        let cib = Cib::parse(xml, None).map_err(|error| {
            ErrorBody::new(ErrorCode::Data, error.to_string()).hint("nothing was changed")
        })?;
        if cib.section(cib::Section::Configuration).is_none() {
            return Err(
                ErrorBody::new(ErrorCode::Data, "the <cib> has no <configuration>")
                    .hint("nothing was changed"),
            );
        }
        let offered = cib.version();
        let cib = self.controller.offer(cib).map_err(|current| {
            ErrorBody::new(
                ErrorCode::Old,
                format!("version {offered} is older than {current}, which is in force"),
            )
            .hint("nothing was changed; query the CIB again and repeat the change")
        })?;
        self.saving = true;
        let proposal = Proposal {
            peer,
            id,
            cib,
            until: Instant::now() + HOLD_AGREEMENT_MAX,
        };
        if self
            .controller
            .propose(now(self.options.clock), &proposal.cib)
            .is_empty()
        {
            self.save(proposal);
        } else {
            self.proposal = Some(proposal);
        }
        Ok(())
    }

    /// Takes a proposed configuration once every hold that it needs is agreed, or nobody agreed in time.
    pub(super) fn proceed(&mut self) {
        let ripe = |proposal: &mut Proposal| {
            self.controller.is_proposal_agreed() || Instant::now() >= proposal.until
        };
        if let Some(proposal) = self.proposal.take_if(ripe) {
            self.save(proposal);
        }
    }

    fn save(&self, proposal: Proposal) {
        let path = self.options.cib.clone();
        let saved = self.saved.clone();
        let Proposal { peer, id, cib, .. } = proposal;
        tokio::task::spawn_blocking(move || {
            let result = save_cib(&path, &cib).map_err(|error| error.to_string());
            let result = result.map(|()| Box::new(cib));
            // The loop is gone when this fails.
            let _ = saved.blocking_send(Saved { peer, id, result });
        });
    }

    pub(super) fn saved(&mut self, saved: Saved) {
        self.saving = false;
        self.controller.end_proposal();
        let outcome = saved
            .result
            .map_err(|error| ErrorBody::new(ErrorCode::Error, error))
            .and_then(|cib| {
                let replaced = self
                    .controller
                    .handle_replace(now(self.options.clock), *cib);
                let old =
                    |current| ErrorBody::new(ErrorCode::Old, format!("{current} came in between"));
                replaced.map_err(old)
            });
        let result = match outcome {
            Ok(version) => {
                let mut notes = self.controller.notes();
                notes.extend_from_slice(self.controller.diagnostics());
                Outcome::Ok(Answer::Replaced {
                    version: version.to_string(),
                    notes,
                })
            }
            Err(error) => Outcome::Error(error),
        };
        self.control.answer(saved.peer, saved.id, result);
    }
}

fn parse_agent(name: &str) -> Option<executor::Agent> {
    let mut parts = name.split(':').map(str::to_owned);
    let class = parts.next()?;
    let (second, third) = (parts.next()?, parts.next());
    Some(match third {
        Some(kind) => executor::Agent {
            class,
            provider: Some(second),
            kind,
        },
        None => executor::Agent {
            class,
            provider: None,
            kind: second,
        },
    })
}
