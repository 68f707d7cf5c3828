//! What a CIB means beyond its XML: versions and sections.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::xml::{Document, Element, ElementId};

/// `admin_epoch.epoch.num_updates`; compares in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// Only ever raised by an administrator.
    pub admin_epoch: u64,
    /// Raised by a change of the configuration.
    pub epoch: u64,
    /// Raised by a change of the status; starts again at zero with each epoch.
    pub num_updates: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}.{}",
            self.admin_epoch, self.epoch, self.num_updates
        )
    }
}

/// The parts of a CIB that readers ask for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// `configuration`
    Configuration,
    /// `configuration/crm_config`
    Options,
    /// `configuration/nodes`
    Nodes,
    /// `configuration/resources`
    Resources,
    /// `configuration/constraints`
    Constraints,
    /// `configuration/fencing-topology`
    FencingTopology,
    /// `configuration/tags`
    Tags,
    /// `configuration/rsc_defaults`
    ResourceDefaults,
    /// `configuration/op_defaults`
    OperationDefaults,
    /// `configuration/alerts`
    Alerts,
    /// `configuration/acls`
    Acls,
    /// `status`
    Status,
}

impl Section {
    fn path(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Configuration => ("configuration", None),
            Self::Options => ("configuration", Some("crm_config")),
            Self::Nodes => ("configuration", Some("nodes")),
            Self::Resources => ("configuration", Some("resources")),
            Self::Constraints => ("configuration", Some("constraints")),
            Self::FencingTopology => ("configuration", Some("fencing-topology")),
            Self::Tags => ("configuration", Some("tags")),
            Self::ResourceDefaults => ("configuration", Some("rsc_defaults")),
            Self::OperationDefaults => ("configuration", Some("op_defaults")),
            Self::Alerts => ("configuration", Some("alerts")),
            Self::Acls => ("configuration", Some("acls")),
            Self::Status => ("status", None),
        }
    }
}

/// A cluster information base.
#[derive(Debug, Clone)]
pub struct Cib {
    pub(crate) document: Document,
}

impl Cib {
    /// Reads a CIB. `file` is only used in messages.
    ///
    /// # Errors
    /// The text is at fault: it is not XML, or its root is not `cib`.
    pub fn parse(text: &str, file: Option<&str>) -> Result<Self, Error> {
        Self::from_document(Document::parse(text, file)?)
    }

    /// Reads a CIB, keeping the given buffer.
    ///
    /// # Errors
    /// As [`Cib::parse`].
    pub fn parse_owned(text: String, file: Option<&str>) -> Result<Self, Error> {
        Self::from_document(Document::parse_owned(text, file)?)
    }

    /// Takes a document for a CIB.
    ///
    /// # Errors
    /// The root element is not `cib`.
    pub fn from_document(document: Document) -> Result<Self, Error> {
        let name = document.root().name();
        if name == "cib" {
            return Ok(Self { document });
        }
        Err(Error {
            file: document.file().map(str::to_owned),
            position: document.root().position(),
            kind: ErrorKind::Shape(format!("the root element is <{name}>; a CIB's is <cib>")),
        })
    }

    /// A CIB with empty sections and version 0.0.0.
    pub fn empty() -> Self {
        let mut document = Document::new("cib");
        let root = document.root().key();
        for (name, value) in [
            ("crm_feature_set", "3.16.1"),
            ("validate-with", "pacemaker-3.9"),
            ("admin_epoch", "0"),
            ("epoch", "0"),
            ("num_updates", "0"),
        ] {
            document.set_attr(root, name, value);
        }
        let configuration = document.append(root, "configuration");
        for section in ["crm_config", "nodes", "resources", "constraints"] {
            document.append(configuration, section);
        }
        document.append(root, "status");
        Self { document }
    }

    /// The tree.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The tree, for changes. The caller keeps the version true.
    pub fn document_mut(&mut self) -> &mut Document {
        &mut self.document
    }

    /// The `cib` element.
    pub fn root(&self) -> Element<'_> {
        self.document.root()
    }

    /// A section, if it exists.
    pub fn section(&self, section: Section) -> Option<Element<'_>> {
        let (first, second) = section.path();
        let top = self.root().child(first)?;
        second.map_or(Some(top), |name| top.child(name))
    }

    /// A section, made if it does not exist.
    pub fn section_or_append(&mut self, section: Section) -> ElementId {
        let (first, second) = section.path();
        let root = self.document.root().key();
        let top = self.document.child_or_append(root, first);
        match second {
            Some(name) => self.document.child_or_append(top, name),
            None => top,
        }
    }

    /// The version tuple; a missing or unreadable part counts as 0.
    pub fn version(&self) -> Version {
        let part = |name| {
            self.root()
                .attr(name)
                .and_then(|v| v.parse().ok())
                .unwrap_or(0)
        };
        Version {
            admin_epoch: part("admin_epoch"),
            epoch: part("epoch"),
            num_updates: part("num_updates"),
        }
    }

    /// Writes the version tuple.
    pub fn set_version(&mut self, version: Version) {
        let root = self.document.root().key();
        self.document
            .set_attr(root, "admin_epoch", &version.admin_epoch.to_string());
        self.document
            .set_attr(root, "epoch", &version.epoch.to_string());
        self.document
            .set_attr(root, "num_updates", &version.num_updates.to_string());
    }

    /// Counts a change of the status section.
    pub fn bump_updates(&mut self) {
        let version = self.version();
        self.set_version(Version {
            num_updates: version.num_updates + 1,
            ..version
        });
    }

    /// Counts a change of the configuration.
    pub fn bump_epoch(&mut self) {
        let version = self.version();
        self.set_version(Version {
            epoch: version.epoch + 1,
            num_updates: 0,
            ..version
        });
    }

    /// The whole CIB as text.
    pub fn to_text(&self) -> String {
        self.document.to_text()
    }
}
