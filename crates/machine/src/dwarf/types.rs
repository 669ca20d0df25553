//! What a type is, as debug information tells it.

/// Number of a type in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeIndex(pub u32);

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DebugType {
    /// `void`.
    Void,
    /// A number, character or truth value.
    Base {
        /// Its name in the source language.
        name: String,
        /// In bytes.
        size: u64,
        /// How to read it.
        encoding: BaseEncoding,
    },
    /// A pointer or a reference.
    Pointer {
        /// Which of them.
        kind: PointerKind,
        /// Rust and Go name their pointers: `&str`, `alloc::boxed::Box<T>`, `*main.Server`. Empty in other languages.
        name: String,
        /// What it points to.
        target: TypeIndex,
    },
    /// C++'s pointer to a member: an offset in objects, or for functions a pair.
    MemberPointer {
        /// Type of the member.
        target: TypeIndex,
        /// The class.
        owner: TypeIndex,
    },
    /// A struct, class or union.
    Composite {
        /// Which of them.
        kind: CompositeKind,
        /// Empty for an anonymous one.
        name: String,
        /// In bytes; 0 when it is only declared.
        size: u64,
        /// In order of the source, without static ones and virtual bases.
        members: Vec<DebugMember>,
        /// The namespaces and types it is declared in: `std::__cxx11`, `alloc::vec`.
        scope: String,
        /// Types the template or generic type was made with, with the names of the parameters; a pack's types share a name.
        template_parameters: Vec<(String, TypeIndex)>,
        /// Rust's enums that carry data.
        variant_part: Option<Box<VariantPart>>,
        /// C++: a copy constructor or destructor of its own copies or ends it, so that functions take and give it through memory.
        has_own_copy: bool,
    },
    /// An enum.
    Enum {
        /// Empty for an anonymous one.
        name: String,
        /// In bytes.
        size: u64,
        /// Names and values.
        values: Vec<(String, i64)>,
    },
    /// An array.
    Array {
        /// Type of one element.
        element: TypeIndex,
        /// Number of elements, when it is known.
        len: Option<u64>,
    },
    /// A typedef.
    Typedef {
        /// The new name.
        name: String,
        /// What it names.
        target: TypeIndex,
    },
    /// A qualified type.
    Qualified {
        /// By what.
        qualifier: Qualifier,
        /// The type without it.
        target: TypeIndex,
    },
    /// A function's type, behind function pointers.
    Function,
    /// A type that is not described, not understood, or beyond the graph's limit; with its name if there is one.
    Unknown(String),
}

/// How a base type's bytes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseEncoding {
    /// An unsigned integer.
    Unsigned,
    /// A signed integer.
    Signed,
    /// A truth value.
    Bool,
    /// A character of one byte, signed or not.
    Char,
    /// A code point or a part of one: `char32_t`, `char8_t`, Rust's `char`.
    Unicode,
    /// A floating point number.
    Float,
    /// Something else: complex, decimal.
    Other,
}

/// Which composite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompositeKind {
    /// `struct`.
    Struct,
    /// `class`.
    Class,
    /// `union`.
    Union,
}

/// A qualifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier {
    /// `const`.
    Const,
    /// `volatile`.
    Volatile,
    /// `restrict`.
    Restrict,
    /// `_Atomic`.
    Atomic,
}

/// A member of a composite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugMember {
    /// Empty for an anonymous struct or union, and for a base class.
    pub name: String,
    /// Its type.
    pub type_index: TypeIndex,
    /// Its place from the start of the composite.
    pub bit_offset: u64,
    /// Width in bits when it is a bitfield.
    pub bitfield_bits: Option<u64>,
    /// What it is there for.
    pub role: MemberRole,
}

/// What a member is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberRole {
    /// The source has it.
    Plain,
    /// It is a base class.
    Base,
    /// Go: its own members count as members of the struct.
    Embedded,
    /// The compiler made it: a pointer to the virtual functions, a discriminant.
    Artificial,
}

/// Whether a pointer is called a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointerKind {
    /// `*`, in Rust `&` too.
    Pointer,
    /// `&`.
    Reference,
    /// `&&`.
    RvalueReference,
}

/// Members of which there are some or others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantPart {
    /// The member that tells which are there; `None` when there is only one variant.
    pub discriminant: Option<DebugMember>,
    /// What may be there.
    pub variants: Vec<Variant>,
}

/// A variant. Rust's has one member, with the variant's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Values of the discriminant for which it is there; none for the variant of all other values.
    pub values: Vec<DiscriminantValue>,
    /// Its members; they lie where the whole type's members do.
    pub members: Vec<DebugMember>,
}

/// Values of a discriminant from `low` to `high`, as the compiler wrote them: to be cut to the discriminant's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiscriminantValue {
    /// The first.
    pub low: i128,
    /// The last.
    pub high: i128,
}

impl VariantPart {
    /// The variant that is there when the discriminant's bytes are these.
    pub fn variant(&self, discriminant: &[u8]) -> Option<&Variant> {
        let bits = discriminant.len().min(16) as u32 * 8;
        let cut = |value: i128| match bits {
            0 => 0,
            bits => (value as u128) << (128 - bits) >> (128 - bits),
        };
        let mut whole = [0; 16];
        let len = discriminant.len().min(16);
        whole[..len].copy_from_slice(&discriminant[..len]);
        let told = u128::from_le_bytes(whole);
        let is_in = |value: &DiscriminantValue| {
            // Counted from the low end, so that a range may go over the largest number.
            let width = cut(value.high.wrapping_sub(value.low));
            cut((told as i128).wrapping_sub(value.low)) <= width
        };
        let named = self
            .variants
            .iter()
            .find(|variant| variant.values.iter().any(is_in));
        named.or_else(|| self.variants.iter().find(|v| v.values.is_empty()))
    }
}

/// What Go's compiler tells about a type. Maps and channels are typedefs of what the runtime makes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoType {
    /// What kind of type it is to Go.
    pub kind: GoKind,
    /// A map's key.
    pub key: Option<TypeIndex>,
    /// What a slice, array, map, channel or pointer holds.
    pub element: Option<TypeIndex>,
    /// Its description in the running program, as an offset from `runtime.types`.
    pub runtime_type: Option<u64>,
    /// The package.
    pub package: Option<String>,
    /// For a type parameter: its place in the dictionary that generic functions take.
    pub dictionary_index: Option<u64>,
}

/// Go's `reflect.Kind`.
#[expect(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoKind {
    Bool,
    Int,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Uintptr,
    Float32,
    Float64,
    Complex64,
    Complex128,
    Array,
    Chan,
    Func,
    Interface,
    Map,
    Pointer,
    Slice,
    String,
    Struct,
    UnsafePointer,
    /// Not told, or not known yet.
    Other,
}

impl From<u64> for GoKind {
    fn from(number: u64) -> GoKind {
        const KINDS: [GoKind; 27] = [
            GoKind::Other,
            GoKind::Bool,
            GoKind::Int,
            GoKind::Int8,
            GoKind::Int16,
            GoKind::Int32,
            GoKind::Int64,
            GoKind::Uint,
            GoKind::Uint8,
            GoKind::Uint16,
            GoKind::Uint32,
            GoKind::Uint64,
            GoKind::Uintptr,
            GoKind::Float32,
            GoKind::Float64,
            GoKind::Complex64,
            GoKind::Complex128,
            GoKind::Array,
            GoKind::Chan,
            GoKind::Func,
            GoKind::Interface,
            GoKind::Map,
            GoKind::Pointer,
            GoKind::Slice,
            GoKind::String,
            GoKind::Struct,
            GoKind::UnsafePointer,
        ];
        // The upper bits of the number are flags in some versions.
        KINDS[..]
            .get((number & 31) as usize)
            .copied()
            .unwrap_or(GoKind::Other)
    }
}
