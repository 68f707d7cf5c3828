//! Requests: the ways in which a CIB is changed from outside, one by one or all or none.

mod merge;

use crate::cib::{Cib, Version};
use crate::patch::{self, PatchError};
use crate::xml::{Document, Element, ElementId};
use crate::xpath::{XPath, XPathError};

/// What to do with an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Add it; there must be none with its name and id.
    Create,
    /// Merge it into the one with its name and id.
    Modify,
    /// Put it in the place of the one with its name and id.
    Replace,
    /// Remove the first that has its name and all its attributes.
    Delete,
    /// Remove all that an XPath names.
    DeleteAll,
    /// Apply it, a patch.
    Patch,
    /// Raise the epoch.
    Bump,
    /// Empty the CIB; its version goes on counting.
    Erase,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to do.
    pub operation: Operation,
    /// In which section (`resources`, `status` ...); none for the whole CIB.
    pub section: Option<String>,
    /// With which elements, instead of a section.
    pub xpath: Option<XPath>,
    /// The element that it is about.
    pub data: Option<Document>,
    /// Whether [`Operation::Modify`] may add what is not there.
    pub may_create: bool,
}

impl Request {
    /// A request about an element, anywhere in the CIB.
    pub fn new(operation: Operation, data: Option<Document>) -> Self {
        Self {
            operation,
            section: None,
            xpath: None,
            data,
            may_create: false,
        }
    }
}

/// Why a request was refused. The CIB is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Something is missing from the request, or does not go together.
    #[error("{0}")]
    Invalid(String),
    /// What the request is about is not there.
    #[error("{0} is not in the CIB")]
    Missing(String),
    /// What shall be added is there already.
    #[error("{0} is in the CIB already")]
    Exists(String),
    /// A whole CIB that is older than the present one.
    #[error("version {offered} is older than the present one, {present}")]
    Old {
        /// What was offered.
        offered: Version,
        /// What there is.
        present: Version,
    },
    /// The patch does not fit.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// The XPath cannot be evaluated.
    #[error(transparent)]
    XPath(#[from] XPathError),
}

/// The parts of a CIB that requests can be limited to, and where they are.
pub const SECTIONS: [(&str, &str); 14] = [
    ("configuration", "/cib/configuration"),
    ("crm_config", "/cib/configuration/crm_config"),
    ("nodes", "/cib/configuration/nodes"),
    ("resources", "/cib/configuration/resources"),
    ("constraints", "/cib/configuration/constraints"),
    ("rsc_defaults", "/cib/configuration/rsc_defaults"),
    ("op_defaults", "/cib/configuration/op_defaults"),
    ("acls", "/cib/configuration/acls"),
    ("fencing-topology", "/cib/configuration/fencing-topology"),
    ("tags", "/cib/configuration/tags"),
    ("alerts", "/cib/configuration/alerts"),
    ("status", "/cib/status"),
    ("cib", "/cib"),
    ("all", "/cib"),
];

/// The path of a section.
fn section_path(name: &str) -> Option<&'static str> {
    SECTIONS.iter().find(|(n, _)| *n == name).map(|(_, p)| *p)
}

/// Carries out requests: all of them, or none. The version counts as one change.
///
/// # Errors
/// The first request that is refused, by its place; nothing was changed.
pub fn apply_all(cib: &mut Cib, requests: &[Request]) -> Result<(), (usize, RequestError)> {
    let mut changed = cib.clone();
    for (place, request) in requests.iter().enumerate() {
        apply_one(&mut changed, request).map_err(|e| (place, e))?;
    }
    // A patch brings its version along, if it has one; to raise the epoch is itself to count.
    let brings = |r: &Request| {
        let versions = r.data.as_ref().and_then(|d| d.root().child("version"));
        let patched = r.operation == Operation::Patch && versions.is_some();
        patched || r.operation == Operation::Bump
    };
    if !requests.iter().any(brings) {
        count(cib, &mut changed);
    }
    *cib = changed;
    Ok(())
}

/// Carries out one request and counts the change.
///
/// # Errors
/// It is refused; nothing was changed.
pub fn apply(cib: &mut Cib, request: &Request) -> Result<(), RequestError> {
    apply_all(cib, std::slice::from_ref(request)).map_err(|(_, e)| e)
}

/// Raises the version according to what has changed.
fn count(old: &Cib, new: &mut Cib) {
    let patch = patch::diff(old.document(), new.document(), patch::Options::default());
    let before = old.version();
    let after = new.version();
    let Some(patch) = patch else {
        if before != after {
            // Versions were set by hand: they stand as they are, if they lead forward.
            let forward = before < after;
            let num_updates = after.num_updates.saturating_add(1);
            let by_hand = Version {
                num_updates,
                ..after
            };
            new.set_version(if forward { by_hand } else { before });
        }
        return;
    };
    let inside = |path: &str| path.starts_with("/cib/configuration");
    let configured = patch
        .root()
        .children_named("change")
        .any(|change| inside(change.attr("path").unwrap_or("")) || creates_configuration(change));
    if configured {
        new.set_version(Version {
            epoch: after.epoch.saturating_add(1),
            num_updates: 0,
            ..after
        });
    } else {
        let num_updates = after.num_updates.saturating_add(1);
        new.set_version(Version {
            num_updates,
            ..after
        });
    }
}

fn creates_configuration(change: Element<'_>) -> bool {
    change.child("configuration").is_some()
}

fn apply_one(cib: &mut Cib, request: &Request) -> Result<(), RequestError> {
    match request.operation {
        Operation::Bump => {
            cib.bump_epoch();
            return Ok(());
        }
        Operation::Erase => {
            erase(cib);
            return Ok(());
        }
        Operation::Patch => {
            let data = data_of(request)?;
            patch::apply(cib, data)?;
            return Ok(());
        }
        _ => {}
    }
    if let Some(xpath) = &request.xpath {
        return by_xpath(cib, request, xpath);
    }
    let data = data_of(request)?;
    let section = match &request.section {
        Some(name) => Some(section_path(name).ok_or_else(|| unknown_section(name))?),
        None => None,
    };
    let whole = section.is_none_or(|s| s == "/cib");
    match request.operation {
        Operation::Create if whole => merge_or(cib, "/cib", data, true),
        Operation::Create => create(cib, section.unwrap_or("/cib"), data),
        Operation::Modify => merge_or(cib, section.unwrap_or("/cib"), data, request.may_create),
        Operation::Replace => replace(cib, section.unwrap_or("/cib"), data),
        _ => {
            delete(cib, section.unwrap_or("/cib"), data);
            Ok(())
        }
    }
}

fn unknown_section(name: &str) -> RequestError {
    let known: Vec<&str> = SECTIONS.iter().map(|(n, _)| *n).collect();
    let known = known.join(", ");
    RequestError::Invalid(format!("there is no section '{name}'; there are {known}"))
}

fn data_of(request: &Request) -> Result<&Document, RequestError> {
    let missing =
        || RequestError::Invalid("the request is about nothing: give it an element".to_owned());
    request.data.as_ref().ok_or_else(missing)
}

/// What an element is called in messages.
fn name_of(element: Element<'_>) -> String {
    match element.attr("id") {
        Some(id) => format!("<{} id=\"{id}\">", element.name()),
        None => format!("<{}>", element.name()),
    }
}

fn erase(cib: &mut Cib) {
    let version = cib.version();
    let mut empty = Cib::empty();
    let root = empty.root().key();
    for (name, value) in cib.root().attributes() {
        empty.document_mut().set_attr(root, name, value);
    }
    empty.set_version(Version {
        admin_epoch: version.admin_epoch.saturating_add(1),
        ..version
    });
    *cib = empty;
}

/// The element of a section, made if it does not exist.
fn root_of(cib: &mut Cib, path: &str) -> ElementId {
    let mut at = cib.root().key();
    for name in path.split('/').skip(2) {
        at = cib.document_mut().child_or_append(at, name);
    }
    at
}

fn create(cib: &mut Cib, path: &str, data: &Document) -> Result<(), RequestError> {
    let root = root_of(cib, path);
    let source = data.root();
    let list: Vec<Element<'_>> = if source.name() == cib.document().element(root).name() {
        source.children().collect()
    } else {
        vec![source]
    };
    for element in list {
        let known = cib.document().element(root).children().any(|c| {
            element.attr("id").is_some()
                && c.name() == element.name()
                && c.attr("id") == element.attr("id")
        });
        if known {
            return Err(RequestError::Exists(name_of(element)));
        }
        cib.document_mut().append_copy(root, data, element.key());
    }
    Ok(())
}

fn merge_or(cib: &mut Cib, path: &str, data: &Document, create: bool) -> Result<(), RequestError> {
    let root = root_of(cib, path);
    let element = data.root();
    if let Some(target) = merge::find(cib.document(), root, element) {
        merge::merge(cib.document_mut(), target, element);
        return Ok(());
    }
    if !create {
        return Err(RequestError::Missing(name_of(element)));
    }
    cib.document_mut().append_copy(root, data, element.key());
    Ok(())
}

fn replace(cib: &mut Cib, path: &str, data: &Document) -> Result<(), RequestError> {
    let element = data.root();
    if element.name() == "cib" {
        let offered = Cib::from_document(data.clone());
        let offered = offered.map_err(|e| RequestError::Invalid(e.to_string()))?;
        let (offered_version, present) = (offered.version(), cib.version());
        if offered_version < present {
            return Err(RequestError::Old {
                offered: offered_version,
                present,
            });
        }
        let root = cib.root().key();
        cib.document_mut().replace(root, data, element.key());
        return Ok(());
    }
    let root = root_of(cib, path);
    let Some(target) = merge::find(cib.document(), root, element) else {
        return Err(RequestError::Missing(name_of(element)));
    };
    cib.document_mut().replace(target, data, element.key());
    Ok(())
}

fn delete(cib: &mut Cib, path: &str, data: &Document) {
    let root = root_of(cib, path);
    let wanted = data.root();
    let all = |e: &Element<'_>| {
        e.name() == wanted.name() && wanted.attributes().all(|(n, v)| e.attr(n) == Some(v))
    };
    let found = cib.document().element(root).descendants().find(all);
    if let Some(found) = found.map(Element::key) {
        cib.document_mut().remove(found);
    }
}

fn by_xpath(cib: &mut Cib, request: &Request, xpath: &XPath) -> Result<(), RequestError> {
    let mut found = xpath.elements(cib.document())?;
    let deleting = matches!(request.operation, Operation::Delete | Operation::DeleteAll);
    if found.is_empty() && !deleting {
        return Err(RequestError::Missing("what the XPath names".to_owned()));
    }
    if request.operation != Operation::DeleteAll {
        found.truncate(1);
    }
    for element in found {
        let document = cib.document_mut();
        match request.operation {
            Operation::Create => {
                let data = data_of(request)?;
                document.append_copy(element, data, data.root().key());
            }
            Operation::Modify => {
                let data = data_of(request)?;
                merge::merge(document, element, data.root());
            }
            Operation::Replace => {
                let data = data_of(request)?;
                document.replace(element, data, data.root().key());
            }
            _ => document.remove(element),
        }
    }
    Ok(())
}

/// Reads the requests of a transaction: `<cib_transaction>` with a `<cib_request>` each.
///
/// # Errors
/// It is none, or one of its requests is none.
pub fn read_transaction(transaction: &Document) -> Result<Vec<Request>, RequestError> {
    let root = transaction.root();
    if root.name() != "cib_transaction" {
        let message = format!(
            "<{}> is no transaction; write <cib_transaction>",
            root.name()
        );
        return Err(RequestError::Invalid(message));
    }
    let requests = root.children().enumerate();
    requests
        .map(|(number, element)| read_request(transaction, element, number + 1))
        .collect()
}

fn read_request(
    transaction: &Document,
    element: Element<'_>,
    number: usize,
) -> Result<Request, RequestError> {
    let invalid = |what: String| RequestError::Invalid(format!("request {number}: {what}"));
    let name = element.attr("cib_op").unwrap_or("");
    let operation = match name {
        "cib_create" => Operation::Create,
        "cib_modify" => Operation::Modify,
        "cib_replace" => Operation::Replace,
        "cib_delete" => Operation::Delete,
        "cib_delete_alt" => Operation::DeleteAll,
        "cib_apply_diff" => Operation::Patch,
        "cib_bump" => Operation::Bump,
        "cib_erase" => Operation::Erase,
        other => {
            return Err(invalid(format!(
                "operation '{other}' cannot be part of a transaction"
            )));
        }
    };
    let data = element
        .child("cib_calldata")
        .and_then(|d| d.children().next());
    let data = data.map(|d| transaction.extract(d.key()));
    // Options are bits in Pacemaker's protocol; one of them makes the section an XPath.
    let options: u64 = match element.attr("cib_callopt") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| invalid(format!("cib_callopt '{text}' is no number")))?,
    };
    const OPTION_XPATH: u64 = 1 << 1;
    const OPTION_MULTIPLE: u64 = 1 << 2;
    const OPTION_CAN_CREATE: u64 = 1 << 3;
    let section = element.attr("cib_section").map(str::to_owned);
    let by_path = options & OPTION_XPATH != 0;
    let xpath = match (&section, by_path) {
        (Some(path), true) => Some(XPath::parse(path)?),
        _ => None,
    };
    let operation = match operation {
        Operation::Delete if options & OPTION_MULTIPLE != 0 => Operation::DeleteAll,
        other => other,
    };
    Ok(Request {
        operation,
        section: section.filter(|_| !by_path),
        xpath,
        data,
        may_create: options & OPTION_CAN_CREATE != 0,
    })
}

#[cfg(test)]
mod tests;
