//! The steps from a document to a transition.

use std::collections::{BTreeMap, HashMap, HashSet};

use cib::{Document, Element};

use crate::Inputs;
use crate::constraint::TicketState;
use crate::explain::{Explained, Subject};
use crate::hash::NumberMap;
use crate::ids::Table;
use crate::model::Map;
use crate::options::{self, Options};
use crate::plan::Plan;
use crate::rules::{self, Facts, References};
use crate::scores::Score;
use crate::status::Status;
use crate::transition::Transition;
use crate::words::Words;

/// Room for the orderings of a small cluster, so that they are not moved while they grow.
const LIST_MIN: usize = 512;

/// The set of options that counts more than all others.
const FIRST_OPTIONS: &str = "cib-bootstrap-options";

pub(crate) fn transition(document: &Document, inputs: &Inputs, sanitized: bool) -> Transition {
    let mut plan = empty(document, inputs);
    plan.sanitized = sanitized;
    plan.run(document, inputs);
    plan.create_graph()
}

pub(crate) fn with_scores(document: &Document, inputs: &Inputs) -> (Transition, Vec<Score>) {
    let mut plan = empty(document, inputs);
    plan.sanitized = true;
    plan.scores = Some(Vec::new());
    plan.run(document, inputs);
    let scores = plan.scores.take().unwrap_or_default();
    (plan.create_graph(), scores)
}

pub(crate) fn digests(
    document: &Document,
    inputs: &Inputs,
    (resource, node): (&str, &str),
    overrides: &[(String, String)],
) -> Option<crate::DigestReport> {
    let mut plan = empty(document, inputs);
    plan.unpack(document);
    let rsc = *plan.by_id.get(resource)?;
    let node = plan.find_node(node)?;
    Some(plan.digest_report(rsc, node, overrides))
}

/// Why something is as it is, and what follows.
pub(crate) fn explained(
    document: &Document,
    inputs: &Inputs,
    subject: &Subject,
) -> Option<Explained> {
    let mut plan = empty(document, inputs);
    plan.sanitized = true;
    plan.recorder = Some(Box::default());
    plan.run(document, inputs);
    let transition = plan.create_graph();
    let explanation = plan.answer(subject)?;
    Some(Explained {
        explanation,
        transition,
    })
}

pub(crate) fn status(document: &Document, inputs: &Inputs) -> Status {
    let mut plan = empty(document, inputs);
    plan.unpack(document);
    plan.status()
}

fn empty<'a>(document: &'a Document, inputs: &Inputs) -> Plan<'a> {
    let configuration = document.root().child("configuration");
    new_plan(document, configuration, inputs)
}

fn new_plan<'a>(
    document: &'a Document,
    configuration: Option<Element<'a>>,
    inputs: &Inputs,
) -> Plan<'a> {
    let root = document.root();
    let references = References::new(document);
    let options = read_options(root, configuration, &references, inputs);
    let section = |name: &str| configuration.and_then(|c| c.child(name));
    Plan {
        root,
        references,
        rsc_defaults: section("rsc_defaults"),
        op_defaults: section("op_defaults"),
        now: inputs.now,
        options,
        sanitized: false,
        words: Words::default(),
        node: Table::default(),
        order: Vec::new(),
        dc: None,
        have_remote: false,
        rsc: Table::default(),
        top: Vec::new(),
        by_id: HashMap::new(),
        act: Table::default(),
        singles: HashMap::new(),
        edges: Vec::with_capacity(LIST_MIN),
        edge_flags: NumberMap::default(),
        orderings: Vec::with_capacity(LIST_MIN),
        col: Table::default(),
        loc: Table::default(),
        ticket_constraints: Vec::new(),
        tickets: BTreeMap::new(),
        tags: HashMap::new(),
        templates: HashMap::new(),
        history: HashMap::new(),
        history_names: HashSet::new(),
        clone_names: HashMap::new(),
        stop_needed: Vec::new(),
        deferred_checks: Vec::new(),
        forced_reschedule: HashMap::new(),
        recheck_by: None,
        diagnostics: Vec::new(),
        failed: Vec::new(),
        recorder: None,
        shared: crate::graph::Shared::default(),
        scores: None,
    }
}

fn read_options<'a>(
    root: Element<'a>,
    configuration: Option<Element<'a>>,
    references: &References<'a>,
    inputs: &Inputs,
) -> Options {
    let mut values = Map::new();
    if let Some(config) = configuration.and_then(|c| c.child("crm_config")) {
        let facts = Facts {
            now: inputs.now,
            ..Facts::default()
        };
        let how = (Some(FIRST_OPTIONS), false);
        let name = "cluster_property_set";
        rules::read_blocks(references, &[config], name, &facts, how, &mut values);
    }
    let is_true = |name: &str| crate::text::is_true(root.attr(name));
    let mut options = options::read(&values, is_true("have-quorum"), is_true("no-quorum-panic"));
    options.unfencing = options.fencing && configuration.is_some_and(wants_unfencing);
    options
}

/// Whether anything in the configuration needs nodes to be unfenced.
fn wants_unfencing(configuration: Element<'_>) -> bool {
    let sections = ["resources", "rsc_defaults"];
    let sections = sections
        .into_iter()
        .filter_map(|name| configuration.child(name));
    let mut sets = sections
        .flat_map(|section| section.descendants())
        .filter(|e| e.name() == "meta_attributes");
    sets.any(|set| {
        set.children_named("nvpair").any(|pair| {
            let name = pair.attr("name").unwrap_or("");
            matches!(name, "provides" | "requires")
                && pair
                    .attr("value")
                    .is_some_and(|v| v.eq_ignore_ascii_case("unfencing"))
        })
    })
}

impl<'a> Plan<'a> {
    /// Reads what is configured and what has happened, and decides.
    fn run(&mut self, document: &'a Document, inputs: &Inputs) {
        self.unpack(document);
        self.apply_grants(inputs);
        self.apply_health();
        let configuration = document.root().child("configuration");
        if let Some(constraints) = configuration.and_then(|c| c.child("constraints")) {
            self.unpack_constraints(constraints);
        }
        self.note_capacities("Original");
        self.decide();
    }

    /// Everything the document says, but for constraints.
    fn unpack(&mut self, document: &'a Document) {
        let root = document.root();
        let configuration = root.child("configuration");
        let section = |name: &str| configuration.and_then(|c| c.child(name));
        if let Some(nodes) = section("nodes") {
            self.unpack_nodes(nodes);
        }
        if let Some(resources) = section("resources") {
            self.unpack_remote_nodes(resources);
            self.unpack_resources(resources);
        }
        self.unpack_tags(section("tags"));
        if let Some(status) = root.child("status") {
            self.index_history(status);
            self.unpack_status(status);
        }
    }

    fn unpack_tags(&mut self, tags: Option<Element<'a>>) {
        let tags = tags.into_iter().flat_map(|t| t.children_named("tag"));
        for tag in tags {
            let members = tag.children_named("obj_ref").map(|r| r.id());
            let list = self.tags.entry(tag.id()).or_default();
            list.extend(members.filter(|id| !id.is_empty()));
        }
    }

    fn index_history(&mut self, status: Element<'a>) {
        for state in status.children_named("node_state") {
            let Some(uname) = state.attr("uname") else {
                continue;
            };
            let resources = state.child("lrm").and_then(|l| l.child("lrm_resources"));
            let entries = resources
                .into_iter()
                .flat_map(|r| r.children_named("lrm_resource"));
            self.history.reserve(entries.clone().count());
            for entry in entries {
                self.history.entry((uname, entry.id())).or_insert(entry);
                self.history_names.insert(entry.id());
            }
        }
    }

    /// Leases say what is granted, whatever the CIB remembers.
    fn apply_grants(&mut self, inputs: &Inputs) {
        let Some(grants) = &inputs.grants else {
            return;
        };
        self.tickets.clear();
        for grant in grants {
            let state = TicketState {
                granted: grant.granted,
                standby: grant.standby,
            };
            self.tickets.insert(grant.ticket.clone(), state);
        }
    }

    fn decide(&mut self) {
        self.apply_node_criteria();
        for rsc in self.top.clone() {
            self.internal_constraints(rsc);
        }
        self.check_changes();
        self.assign_all();
        self.note_capacities("Remaining");
        self.run_deferred_checks();
        self.schedule_probes();
        if self.options.stop_removed {
            for rsc in self.top.clone() {
                self.clear_removed_failures(rsc);
            }
        }
        for rsc in self.top.clone() {
            self.create_actions(rsc);
        }
        self.order_remote_actions();
        self.fence_and_shut_down();
        self.apply_orderings();
    }
}
