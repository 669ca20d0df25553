//! Types of other languages than C, whole.

use super::*;

/// The function's types, and the type of a parameter behind references, typedefs and pointers.
fn parameter(elf: &Arc<Elf>, function: &str, name: &str) -> (TypeGraph, TypeIndex) {
    let debug = DebugInfo::new(elf.clone()).unwrap();
    let is_it = |f: &crate::elf::Function<'_>| {
        f.names().any(|n| {
            n == function || crate::elf::demangle_short(n).is_some_and(|short| short == function)
        })
    };
    let address = elf.functions().find(is_it).unwrap().address;
    let described = debug.function_at(address).unwrap().unwrap();
    let found = described.parameters.iter().find(|p| p.name == name);
    let mut index = described.types.resolve(found.unwrap().type_index);
    while let DebugType::Pointer { target, .. } = described.types.get(index) {
        index = described.types.resolve(*target);
    }
    (described.types, index)
}

/// A composite's members by name.
fn member<'g>(types: &'g TypeGraph, index: TypeIndex, name: &str) -> &'g DebugMember {
    let DebugType::Composite { members, .. } = types.get(types.resolve(index)) else {
        panic!("{:?}", types.get(index))
    };
    members.iter().find(|member| member.name == name).unwrap()
}

const CPP: &str = "\
namespace shop { inline namespace v1 {
struct Left { virtual ~Left() {} int left; };
struct Top { int top; };
struct Right : virtual Top { int right; };
enum class Color : unsigned char { Red, Blue = 7 };
template <typename K, typename... Rest> struct Box { K value; };
struct Item : Left, Right {
    static int total; static const int limit = 3;
    char16_t wide; Color color; Box<int, char, double> box;
    int (Item::*method)(int); int Item::*field;
};
__attribute__((noinline)) int use(Item &item, Item &&moved) { return item.wide + moved.box.value; }
} }
int main(int argc, char **argv) { shop::Item a, b; return shop::use(a, static_cast<shop::Item &&>(b)); }
";

#[test]
fn reads_classes() {
    for (compiler, flags) in [
        ("g++", &["-g", "-gdwarf-4", "-std=c++17"]),
        ("g++", &["-g", "-gdwarf-5", "-std=c++17"]),
        ("clang++", &["-g", "-gdwarf-5", "-std=c++17"]),
    ] {
        let Some((_folder, elf)) = compile_text(compiler, flags, "sample.cc", CPP) else {
            continue;
        };
        let (types, item) = parameter(&elf, "shop::v1::use", "item");
        assert_eq!(types.name(item), "shop::v1::Item");
        let DebugType::Composite { members, scope, .. } = types.get(item) else {
            panic!("{:?}", types.get(item))
        };
        assert_eq!(scope, "shop::v1");
        let shown: Vec<(&str, String, MemberRole)> = members
            .iter()
            .map(|m| (m.name.as_str(), types.name(m.type_index), m.role))
            .collect();
        let plain = |name, text: &str| (name, text.to_string(), MemberRole::Plain);
        assert_eq!(
            shown,
            [
                ("", "shop::v1::Left".to_string(), MemberRole::Base),
                ("", "shop::v1::Right".to_string(), MemberRole::Base),
                plain("wide", "char16_t"),
                plain("color", "Color"),
                plain("box", "shop::v1::Box<int, char, double>"),
                plain("method", "function shop::v1::Item::*"),
                plain("field", "int shop::v1::Item::*"),
            ],
            "{compiler} {flags:?}"
        );
        assert_eq!(types.size_of(members[5].type_index), Some(16));
        assert!(matches!(
            types.get(members[2].type_index),
            DebugType::Base {
                encoding: BaseEncoding::Unicode,
                size: 2,
                ..
            }
        ));
        let DebugType::Composite {
            template_parameters,
            ..
        } = types.get(members[4].type_index)
        else {
            panic!("box")
        };
        let arguments: Vec<(&str, String)> = template_parameters
            .iter()
            .map(|(name, index)| (name.as_str(), types.name(*index)))
            .collect();
        let expected = [("K", "int"), ("Rest", "char"), ("Rest", "double")];
        assert_eq!(
            arguments,
            expected.map(|(name, text)| (name, text.to_string()))
        );
        // The table of virtual functions comes first; the virtual base has no fixed place.
        let DebugType::Composite { members: right, .. } = types.get(members[1].type_index) else {
            panic!("right")
        };
        let roles: Vec<MemberRole> = right.iter().map(|m| m.role).collect();
        assert_eq!(roles, [MemberRole::Artificial, MemberRole::Plain]);
    }
}

#[test]
fn tells_kinds_of_references() {
    let Some((_folder, elf)) = compile_text("g++", &["-g"], "sample.cc", CPP) else {
        return;
    };
    let debug = DebugInfo::new(elf.clone()).unwrap();
    let address = elf.functions().find(|f| f.name().contains("use")).unwrap();
    let described = debug.function_at(address.address).unwrap().unwrap();
    let names: Vec<String> = described
        .parameters
        .iter()
        .map(|p| described.types.name(p.type_index))
        .collect();
    assert_eq!(names, ["shop::v1::Item &", "shop::v1::Item &&"]);
}

const RUST: &str = "\
pub struct User { pub name: String, pub age: u32, pub letter: char, pub pairs: [[u16; 3]; 2] }
pub enum Shape { Empty, Round(u32), Wide { a: u8, b: u64 } }
#[inline(never)]
pub fn draw(user: &User, shape: &Shape, maybe: &Option<Box<User>>, result: &Result<u32, String>) -> usize {
    user.name.len() + std::mem::size_of_val(shape) + maybe.is_some() as usize + result.is_ok() as usize
}
fn main() {
    let user = User { name: String::new(), age: 1, letter: 'x', pairs: [[0; 3]; 2] };
    for shape in [Shape::Empty, Shape::Round(1), Shape::Wide { a: 1, b: 2 }] {
        std::hint::black_box(draw(&user, &shape, &None, &Ok(1)));
    }
}
";

#[test]
fn reads_rust_enums() {
    let Some((_folder, elf)) = compile_text("rustc", &["-g"], "sample.rs", RUST) else {
        return;
    };
    let named = |part: &VariantPart, bytes: &[u8]| {
        let variant = part
            .variant(bytes)
            .map(|variant| variant.members[0].name.clone());
        variant.unwrap_or_default()
    };
    let part = |name: &str| {
        let (types, index) = parameter(&elf, "sample::draw", name);
        match types.get(index) {
            DebugType::Composite {
                variant_part: Some(part),
                ..
            } => (types.clone(), (**part).clone()),
            other => panic!("{other:?}"),
        }
    };
    let (types, shape) = part("shape");
    let discriminant = shape.discriminant.as_ref().unwrap();
    let size = types.size_of(discriminant.type_index).unwrap() as usize;
    let names: Vec<String> = (0..4u64)
        .map(|number| named(&shape, &number.to_le_bytes()[..size]))
        .collect();
    assert_eq!(names, ["Empty", "Round", "Wide", ""]);
    let wide = &shape.variants[2].members[0];
    assert_eq!(types.name(wide.type_index), "sample::Shape::Wide");
    assert!(member(&types, wide.type_index, "b").bit_offset > 0);

    // A null pointer stands for `None`, an impossible capacity for `Ok`; every other value for the other variant.
    let (_, maybe) = part("maybe");
    assert_eq!(named(&maybe, &[0; 8]), "None");
    assert_eq!(named(&maybe, &[8, 0, 0, 0, 0, 0, 0, 1]), "Some");
    let (_, result) = part("result");
    assert_eq!(named(&result, &(1u64 << 63).to_le_bytes()), "Ok");
    assert_eq!(named(&result, &5u64.to_le_bytes()), "Err");

    let (types, user) = parameter(&elf, "sample::draw", "user");
    let name = member(&types, user, "name");
    assert_eq!(types.name(name.type_index), "alloc::string::String");
    let pairs = member(&types, user, "pairs");
    assert_eq!(types.name(pairs.type_index), "[[u16; 3]; 2]");
    let letter = member(&types, user, "letter");
    assert!(matches!(
        types.get(letter.type_index),
        DebugType::Base {
            encoding: BaseEncoding::Unicode,
            size: 4,
            ..
        }
    ));
}

/// A range of values may go over the largest number, and negative values are cut to the discriminant's size.
#[test]
fn chooses_variants() {
    let variant = |name: &str, values: &[(i128, i128)]| Variant {
        values: values
            .iter()
            .map(|(low, high)| DiscriminantValue {
                low: *low,
                high: *high,
            })
            .collect(),
        members: vec![DebugMember {
            name: name.to_string(),
            type_index: TypeIndex(0),
            bit_offset: 0,
            bitfield_bits: None,
            role: MemberRole::Plain,
        }],
    };
    let part = VariantPart {
        discriminant: None,
        variants: vec![
            variant("around", &[(250, 3)]),
            variant("minus", &[(-20, -20)]),
            variant("rest", &[]),
        ],
    };
    let name = |byte: u8| part.variant(&[byte]).unwrap().members[0].name.clone();
    assert_eq!(
        [250, 255, 0, 3, 4].map(name),
        ["around", "around", "around", "around", "rest"]
    );
    assert_eq!(name(236), "minus");
    assert_eq!(part.variant(&[]).unwrap().members[0].name, "around");
}

const GO: &str = "\
package main
import \"fmt\"
type Base struct { ID int }
type Server struct { Base; Hits map[string]int32; Log chan Base; Names []string; Any interface{}; Grid [2][3]int16 }
//go:noinline
func Use(s *Server, name string) int { return len(name) + len(s.Hits) }
func main() { fmt.Println(Use(&Server{Hits: map[string]int32{}}, \"a\")) }
";

#[test]
fn reads_go_types() {
    let Some((_folder, elf)) = build_go(GO) else {
        return;
    };
    let (types, server) = parameter(&elf, "main.Use", "s");
    assert_eq!(types.name(server), "main.Server");
    let kind = |name: &str| types.go(member(&types, server, name).type_index).unwrap();
    let hits = kind("Hits");
    assert_eq!(hits.kind, GoKind::Map);
    assert_eq!(
        hits.key.map(|key| types.name(key)).as_deref(),
        Some("string")
    );
    assert_eq!(
        hits.element.map(|of| types.name(of)).as_deref(),
        Some("int32")
    );
    assert_eq!(kind("Log").kind, GoKind::Chan);
    assert_eq!(kind("Names").kind, GoKind::Slice);
    assert_eq!(
        kind("Names").element.map(|of| types.name(of)).as_deref(),
        Some("string")
    );
    assert_eq!(kind("Any").kind, GoKind::Interface);
    assert!(kind("Names").runtime_type.is_some());
    assert_eq!(member(&types, server, "Base").role, MemberRole::Embedded);
    let grid = member(&types, server, "Grid").type_index;
    assert_eq!(types.name(grid), "[2][3]int16");
}

/// A bound of -1, arrays without elements, and lower bounds.
#[test]
fn reads_flexible_arrays() {
    let text = "struct s { int n; int zero[0]; int rest[]; } global; int use(struct s *s) { return s->n; } int main(void) { return use(&global); }";
    for version in ["-gdwarf-3", "-gdwarf-4", "-gdwarf-5"] {
        let Some((_folder, elf)) = compile_text("gcc", &["-g", version], "sample.c", text) else {
            return;
        };
        let (types, index) = parameter(&elf, "use", "s");
        let rest = member(&types, index, "rest").type_index;
        assert!(
            matches!(types.get(rest), DebugType::Array { len: None, .. }),
            "{version}"
        );
        let zero = member(&types, index, "zero").type_index;
        assert!(
            matches!(
                types.get(zero),
                DebugType::Array {
                    len: Some(0) | None,
                    ..
                }
            ),
            "{version}"
        );
    }
}

/// A type that one unit declares and another defines is whole; of several different definitions none is taken.
#[test]
fn finds_definitions_in_other_units() {
    let one = "struct kept { int a, b; }; struct twofold { int a; }; struct kept kept; struct twofold first; int get(struct kept *k) { return k->b; }";
    let two = "struct kept; struct twofold; struct nowhere; int get(struct kept *); int use(struct kept *kept, struct twofold *twofold, struct nowhere *nowhere) { return get(kept) + (twofold != 0) + (nowhere != 0); }\nint main(void) { return use(0, 0, 0); }";
    let three = "struct twofold { long b, c; }; struct twofold second;";
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("one.c", one), ("two.c", two), ("three.c", three)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let status = Command::new("gcc")
            .current_dir(folder.path())
            .args(["-g", version, "one.c", "two.c", "three.c", "-o", "sample"])
            .status();
        if !status.is_ok_and(|status| status.success()) {
            println!("skipped: no gcc");
            return;
        }
        let elf = Arc::new(Elf::open(&folder.path().join("sample")).unwrap());
        let (types, kept) = parameter(&elf, "use", "kept");
        assert_eq!(types.name(kept), "struct kept");
        assert_eq!(types.size_of(kept), Some(8), "{version}");
        assert_eq!(member(&types, kept, "b").bit_offset, 32);
        for (name, shown) in [("twofold", "struct twofold"), ("nowhere", "struct nowhere")] {
            let (types, declared) = parameter(&elf, "use", name);
            assert_eq!(types.name(declared), shown);
            assert_eq!(types.size_of(declared), Some(0));
        }
    }
}
