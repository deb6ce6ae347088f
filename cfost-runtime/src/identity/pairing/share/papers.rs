//! What both sides show each other: who the guest is, and who is in the space.

use std::sync::Arc;

use super::ShareInvitation;
use crate::identity::devices::{Device, Standing};
use crate::identity::entry::Entry;
use crate::identity::error::{IdentityError, Result};
use crate::identity::keys::RootPublic;
use crate::identity::limits::INTRODUCTION_BYTES_MAX;
use crate::identity::log::IdentityLog;
use crate::identity::space::{Role, SpaceEntry, SpaceLog};
use crate::identity::users::Users;
use crate::identity::wire::Reader;

const VERSION: u8 = 1;
const HASH_CONTEXT: &str = "cfost introduction v1";

/// A user that wants to be let into a space, and the device that asks for it.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The user's identity log.
    pub log: IdentityLog,
    /// The device behind the connection; it is one of the user's.
    pub device: Device,
}

/// What a guest knows once it is let in. Store all of it before saying so.
#[derive(Debug)]
pub struct Papers {
    /// The space.
    pub log: SpaceLog,
    /// The identity logs of all that the members log names, the guest's own among them.
    pub users: Users,
    /// What the guest may do in the space.
    pub role: Role,
    /// The device that let it in.
    pub sharer: Device,
}

/// The hash by which an introduction is announced.
pub(super) fn hash(introduction: &[u8]) -> [u8; 32] {
    blake3::derive_key(HASH_CONTEXT, introduction)
}

/// Who a user is: its identity log.
pub(super) fn introduction(log: &IdentityLog) -> Result<Vec<u8>> {
    let mut out = vec![VERSION];
    put_log(&mut out, log);
    match out.len() <= INTRODUCTION_BYTES_MAX {
        true => Ok(out),
        false => Err(IdentityError::AdmissionTooLarge { bytes: out.len() }),
    }
}

/// Reads who a guest says it is, and believes none of it: the log must hold from its root key, and the device behind
/// the connection must be one of its devices.
pub(super) fn visitor(introduction: &[u8], peer: &[u8; 32]) -> Result<Visitor> {
    let mut reader = Reader::new("introduction", introduction);
    reader.version(VERSION)?;
    let log = read_log(&mut reader)?;
    reader.end()?;
    match log.device_by_transport_key(peer) {
        Some(device) if device.standing == Standing::Active => Ok(Visitor { log, device }),
        _ => Err(IdentityError::WrongPeer),
    }
}

/// All that a guest has to know: the members log, and the identity logs that it names.
pub(super) fn encode(log: &SpaceLog, users: &Users) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_entries(&mut out, log.entries().map(SpaceEntry::as_bytes));
    let members = log.members(users);
    let named: Vec<&Arc<IdentityLog>> = members.named().filter_map(|(user, _)| users.get(user)).collect();
    out.extend_from_slice(&(named.len() as u32).to_le_bytes());
    named.into_iter().for_each(|log| put_log(&mut out, log));
    out
}

/// Reads what a guest is told, and believes none of it: the members log must be the one of the space that the
/// invitation names, the identity logs must hold, the guest must be a member, and so must be the user that invited it,
/// whose device shows the code.
pub(super) fn decode(plain: &[u8], invitation: &ShareInvitation, own: &Arc<IdentityLog>) -> Result<Papers> {
    let refuse = |problem| Err(IdentityError::Admission { problem });
    let mut reader = Reader::new("admission", plain);
    reader.version(VERSION)?;
    let entries = read_entries(&mut reader)?;
    let mut users = Users::new(Arc::clone(own));
    for _ in 0..reader.u32()? {
        let log = read_log(&mut reader)?;
        // What others say of this user is not news to it.
        if log.user_id() != own.user_id() {
            users.put(Arc::new(log));
        }
    }
    reader.end()?;

    let log = SpaceLog::from_entries(invitation.space(), entries)?;
    let members = log.members(&users);
    let Some(role) = members.role(own.user_id()) else {
        return refuse("this user is no member of the space");
    };
    if members.role(invitation.user()).is_none() {
        return refuse("the user that invited is no member of the space");
    }
    let sharer =
        users.get(invitation.user()).and_then(|log| log.device_by_transport_key(invitation.sharer_transport()));
    let Some(sharer) = sharer else {
        return refuse("the inviting device is not one of the user's");
    };
    Ok(Papers { log, users, role, sharer })
}

fn put_log(out: &mut Vec<u8>, log: &IdentityLog) {
    out.extend_from_slice(log.root().as_bytes());
    put_entries(out, log.entries().map(Entry::as_bytes));
}

fn read_log(reader: &mut Reader<'_>) -> Result<IdentityLog> {
    let root = RootPublic::from_bytes(reader.array()?);
    IdentityLog::from_entries(root, read_entries(reader)?)
}

fn put_entries<'a>(out: &mut Vec<u8>, entries: impl Iterator<Item = &'a [u8]>) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut count = 0_u32;
    for entry in entries {
        out.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        out.extend_from_slice(entry);
        count += 1;
    }
    out[at..at + 4].copy_from_slice(&count.to_le_bytes());
}

fn read_entries<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>> {
    let mut entries = Vec::new();
    for _ in 0..reader.u32()? {
        let length = reader.u32()? as usize;
        entries.push(reader.bytes(length)?);
    }
    Ok(entries)
}
