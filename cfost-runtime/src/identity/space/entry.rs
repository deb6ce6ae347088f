//! One entry of a members log, and what it can say.

use std::fmt;
use std::sync::Arc;

use ed25519_dalek::SigningKey;

use super::super::entry::EntryId;
use super::super::envelope::{Envelope, Form};
use super::super::epoch::{EpochGrant, is_begun_later};
use super::super::error::{IdentityError, Result};
use super::super::frontiers::Frontiers;
use super::super::graph::Linked;
use super::super::keys::RootPublic;
use super::super::limits::FRONTIER_LOGS_MAX;
use super::super::wire::Reader;
use crate::clock::Timestamp;
use crate::oplog::{DeviceId, SpaceId, UserId};

const FORM: Form = Form {
    what: "members entry",
    signed: "a members entry",
    id_context: "cfost members entry v1",
    signature_domain: b"cfost members entry v1\0",
};

const KIND_FOUND: u8 = 1;
const KIND_MEMBER: u8 = 2;
const KIND_END_MEMBER: u8 = 3;
const KIND_HAND_OVER: u8 = 4;
const KIND_EPOCH: u8 = 5;
const KIND_KEYS: u8 = 6;

const ROLE_READER: u8 = 1;
const ROLE_WRITER: u8 = 2;

/// What a member of a space may do there. A greater role may do all that a lesser one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads, and passes on what others wrote.
    Reader,
    /// Writes, too.
    Writer,
    /// Says, too, who the members are. A space has exactly one owner.
    Owner,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Owner => "owner",
        })
    }
}

/// What an entry of a members log says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpaceBody {
    /// The space begins; its founder owns it. The space's id is the hash of what this names.
    Found {
        /// The founder's root key.
        root: RootPublic,
        /// Tells the founder's spaces apart.
        nonce: [u8; 16],
    },
    /// A user becomes a member, or has another role from now on.
    Member {
        /// The user's root key.
        root: RootPublic,
        /// Reader or writer; there is one way to become the owner, which is [`SpaceBody::HandOver`].
        role: Role,
        /// For a reader: the changes of that user's devices that still count.
        counted: Frontiers,
    },
    /// A user is a member no more: removed by the owner, or gone.
    EndMember {
        /// Which user.
        user: UserId,
        /// The changes of that user's devices that still count.
        counted: Frontiers,
    },
    /// The owner makes another member the owner, and is a writer from now on.
    HandOver {
        /// Which one.
        user: UserId,
    },
    /// The space goes on under a new key, sealed to the devices of its members.
    Epoch(EpochGrant),
    /// The key of an epoch, for devices that lack it.
    Keys(EpochGrant),
    /// Something that a newer app said. It is kept and passed on, and understood after an update.
    Unknown {
        /// The kind byte.
        kind: u8,
        /// The body as it is.
        bytes: Vec<u8>,
    },
}

impl SpaceBody {
    fn kind(&self) -> u8 {
        match self {
            Self::Found { .. } => KIND_FOUND,
            Self::Member { .. } => KIND_MEMBER,
            Self::EndMember { .. } => KIND_END_MEMBER,
            Self::HandOver { .. } => KIND_HAND_OVER,
            Self::Epoch(_) => KIND_EPOCH,
            Self::Keys(_) => KIND_KEYS,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// Checks that nothing is signed that a reader would refuse.
    fn check(&self, space: SpaceId) -> Result<()> {
        let malformed = |problem| Err(IdentityError::Malformed { what: "members entry body", problem });
        match self {
            Self::Found { root, nonce } if SpaceId::founded_by(root.user_id(), nonce) != space => {
                malformed("the space is not the founder's")
            }
            Self::Member { role: Role::Owner, .. } => malformed("nobody becomes the owner but by a hand-over"),
            Self::Member { counted, .. } | Self::EndMember { counted, .. } if counted.logs() > FRONTIER_LOGS_MAX => {
                Err(IdentityError::TooManyLogs { logs: counted.logs(), logs_max: FRONTIER_LOGS_MAX })
            }
            Self::Epoch(grant) | Self::Keys(grant) if grant.space != space => malformed("its key is another space's"),
            Self::Epoch(grant) | Self::Keys(grant) if !is_begun_later(grant.epoch) => {
                malformed("its epoch is not that of its key")
            }
            _ => Ok(()),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Found { root, nonce } => {
                out.extend_from_slice(root.as_bytes());
                out.extend_from_slice(nonce);
            }
            Self::Member { root, role, counted } => {
                out.extend_from_slice(root.as_bytes());
                out.push(if *role == Role::Reader { ROLE_READER } else { ROLE_WRITER });
                counted.write(&mut out);
            }
            Self::EndMember { user, counted } => {
                out.extend_from_slice(user.as_bytes());
                counted.write(&mut out);
            }
            Self::HandOver { user } => out.extend_from_slice(user.as_bytes()),
            Self::Epoch(grant) | Self::Keys(grant) => grant.write(&mut out),
            Self::Unknown { bytes, .. } => out.extend_from_slice(bytes),
        }
        out
    }

    fn decode(kind: u8, bytes: &[u8], space: SpaceId) -> Result<Self> {
        let mut reader = Reader::new("members entry body", bytes);
        let body = match kind {
            0 => return Err(reader.malformed("kind 0 does not exist")),
            KIND_FOUND => Self::Found { root: RootPublic::from_bytes(reader.array()?), nonce: reader.array()? },
            KIND_MEMBER => {
                let root = RootPublic::from_bytes(reader.array()?);
                let role = match reader.u8()? {
                    ROLE_READER => Role::Reader,
                    ROLE_WRITER => Role::Writer,
                    _ => return Err(reader.malformed("its role is neither reader nor writer")),
                };
                Self::Member { root, role, counted: Frontiers::read(&mut reader)? }
            }
            KIND_END_MEMBER => {
                Self::EndMember { user: UserId::from_bytes(reader.array()?), counted: Frontiers::read(&mut reader)? }
            }
            KIND_HAND_OVER => Self::HandOver { user: UserId::from_bytes(reader.array()?) },
            KIND_EPOCH => Self::Epoch(EpochGrant::read(&mut reader)?),
            KIND_KEYS => Self::Keys(EpochGrant::read(&mut reader)?),
            kind => return Ok(Self::Unknown { kind, bytes: bytes.to_vec() }),
        };
        body.check(space)?;
        reader.end()?;
        Ok(body)
    }
}

/// A signed entry of a members log.
#[derive(Clone, PartialEq, Eq)]
pub struct SpaceEntry {
    /// Its scope: the space, then the user for whom the author speaks.
    envelope: Envelope<32>,
    body: Arc<SpaceBody>,
}

impl SpaceEntry {
    /// Signs an entry. `parents` must be sorted, without duplicates, and no more than the limit.
    pub(in crate::identity) fn sign(
        key: &SigningKey,
        (space, user): (SpaceId, UserId),
        at: Timestamp,
        parents: Vec<EntryId>,
        body: SpaceBody,
    ) -> Result<Self> {
        body.check(space)?;
        let mut scope = [0; 32];
        scope[..16].copy_from_slice(space.as_bytes());
        scope[16..].copy_from_slice(user.as_bytes());
        let envelope = FORM.sign(key, scope, at, parents, (body.kind(), &body.encode()))?;
        Ok(Self { envelope, body: Arc::new(body) })
    }

    /// Reads an entry, strictly, and checks its signature. Whether what it says counts is for the log to say.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`], [`IdentityError::Version`], [`IdentityError::Signature`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let entry = Self::parse(bytes)?;
        entry.verify()?;
        Ok(entry)
    }

    /// Reads an entry, strictly, without checking what it claims.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let (envelope, body) = FORM.parse::<32>(bytes)?;
        let mut space = [0; 16];
        space.copy_from_slice(&envelope.scope[..16]);
        let body = SpaceBody::decode(envelope.kind, body, SpaceId::from_bytes(space))?;
        // Else nothing would say which space it is that begins, or what comes before it began.
        if matches!(body, SpaceBody::Found { .. }) != envelope.parents.is_empty() {
            let problem = "a space begins with the entry that founds it, and with no other";
            return Err(IdentityError::Malformed { what: "members entry", problem });
        }
        Ok(Self { envelope, body: Arc::new(body) })
    }

    pub(super) fn verify(&self) -> Result<()> {
        FORM.verify(&self.envelope)
    }

    /// The entry's name: the hash of what its author signed.
    pub fn id(&self) -> EntryId {
        self.envelope.id
    }

    /// The space to whose members log it belongs.
    pub fn space(&self) -> SpaceId {
        SpaceId::from_bytes(self.scope(0))
    }

    /// The user for whom its author speaks.
    pub fn user(&self) -> UserId {
        UserId::from_bytes(self.scope(16))
    }

    fn scope(&self, from: usize) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&self.envelope.scope[from..from + 16]);
        id
    }

    /// The signing key of the device that made it.
    pub fn author(&self) -> &[u8; 32] {
        &self.envelope.author
    }

    /// The device that made it.
    pub fn device(&self) -> DeviceId {
        DeviceId::of_key(self.author())
    }

    /// When it was made, by its author's clock.
    pub fn at(&self) -> Timestamp {
        self.envelope.at
    }

    /// The entries that its author knew and that no other known entry built on, sorted.
    pub fn parents(&self) -> &[EntryId] {
        &self.envelope.parents
    }

    /// What it says.
    pub fn body(&self) -> &SpaceBody {
        &self.body
    }

    /// The keys that it gives to devices, if it does.
    pub(super) fn grant(&self) -> Option<&EpochGrant> {
        match self.body() {
            SpaceBody::Epoch(grant) | SpaceBody::Keys(grant) => Some(grant),
            _ => None,
        }
    }

    /// The bytes that are stored and sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.envelope.bytes
    }
}

impl Linked for SpaceEntry {
    fn id(&self) -> EntryId {
        self.id()
    }

    fn parents(&self) -> &[EntryId] {
        self.parents()
    }

    fn at(&self) -> Timestamp {
        self.at()
    }

    fn as_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for SpaceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SpaceEntry");
        shown.field("id", &self.id()).field("user", &self.user()).field("at", &self.at());
        shown.field("body", &self.body).finish()
    }
}
