//! The names of things that more than one device talks about.

use std::fmt;

use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes of the id, as they are stored, hashed and sent.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Uuid::from_bytes(self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

uuid_id! {
    /// A user: derived from the hash of the user's root key.
    UserId
}
uuid_id! {
    /// One installation of an app: derived from the hash of the device's signing key.
    DeviceId
}
uuid_id! {
    /// The unit of sharing, encryption and partial replication; every row lives in exactly one.
    SpaceId
}
uuid_id! {
    /// One incarnation of one device in one space: random, and new after a restore or a copy.
    LogId
}

impl DeviceId {
    /// The id of the device that signs with `key`: a version 8 UUID over its BLAKE3 hash.
    pub fn of_key(key: &[u8; 32]) -> Self {
        Self(hashed_uuid("cfost device v1", key))
    }
}

impl LogId {
    /// The name of a branch of a log that took two ways, of which `first` is the first change: a version 8 UUID over
    /// it, so that every replica calls it the same.
    pub fn of_branch(first: ChangeId) -> Self {
        Self(hashed_uuid("cfost branch v1", first.as_bytes()))
    }
}

impl UserId {
    /// The id of the user whose root key is `key`: a version 8 UUID over its BLAKE3 hash.
    pub fn of_root_key(key: &[u8; 32]) -> Self {
        Self(hashed_uuid("cfost user v1", key))
    }
}

impl SpaceId {
    /// The private space of `user`.
    pub fn home_of(user: UserId) -> Self {
        Self(hashed_uuid("cfost home space v1", user.as_bytes()))
    }

    /// The space that `user` has founded, or may found, with this nonce: nobody else can found one of this id.
    pub fn founded_by(user: UserId, nonce: &[u8; 16]) -> Self {
        let mut founder = [0; 32];
        founder[..16].copy_from_slice(user.as_bytes());
        founder[16..].copy_from_slice(nonce);
        Self(hashed_uuid("cfost space v1", &founder))
    }
}

impl LogId {
    /// Stands, where it is said how far a device's logs count, for what the device said about the members of a space.
    pub const MEMBERS: Self = Self([0; 16]);
}

/// A version 8 UUID (RFC 9562, section 5.8) over `bytes`, BLAKE3 in derive-key mode.
fn hashed_uuid(context: &str, bytes: &[u8]) -> [u8; 16] {
    let hash = blake3::derive_key(context, bytes);
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(id).into_uuid().into_bytes()
}

/// The hash of a change's header: what its author signs, and what the next change points to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId([u8; 32]);

impl ChangeId {
    /// What the first change of a log points to.
    pub const NONE: Self = Self([0; 32]);

    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeId({self})")
    }
}
