// Functions with arguments and results of many kinds. After each call main says what went in and what came out, as the
// tracer is to show it, one object a line, in the file that the first argument names.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEEP __attribute__((noinline))
// The optimiser shall not look through the call.
#define STAY __asm__ volatile("" ::: "memory")

static FILE *out;
static jmp_buf back;

// Writes a line; single quotes stand for double ones.
static void say(const char *format, ...)
{
	static char line[16384];
	va_list values;
	va_start(values, format);
	vsnprintf(line, sizeof line, format, values);
	va_end(values);
	for (char *at = line; *at; at++)
		if (*at == '\'')
			*at = '"';
	fprintf(out, "%s\n", line);
}
#define SAY(name, args, result, ...) \
	say("{'function':'" name "','args':{" args "},'result':" result "}", ##__VA_ARGS__)
#define MISSING(why) "{'missing':'" why "'}"

enum color { RED, GREEN = 5, BLUE = -1 };
enum mode { READ = 1, WRITE = 2, EXECUTE = 4 };
struct point { int x, y; };
struct pair { long first; int second; };
struct triple { long first, second, third; };
struct mixed { double real; int whole; };
struct halves { int whole; float real; };
struct floats { float x, y; };
struct node { int value; struct node *next; };
struct tree { short value; struct tree *left, *right; };
struct bits { unsigned a : 3; int b : 5; unsigned long c : 40; bool d : 1; enum color e : 4; };
struct arrays { char name[8]; int grid[2][3]; struct point points[2]; uint8_t bytes[3]; };
struct outer { struct point at; union { int i; float f; }; struct { char tag; struct pair in; } named; };
union word { int i; float f; unsigned char bytes[4]; };
struct hidden;

KEEP int64_t ints(int8_t a, uint8_t b, int16_t c, uint16_t d, int32_t e, uint32_t f, int64_t g, uint64_t h)
{
	STAY;
	return a + b + c + d + e + f + g + (int64_t)(h >> 40);
}
KEEP char small(bool yes, char c, signed char s, unsigned char u) { STAY; return yes ? c : (char)(s + u); }
KEEP bool is_more(short a, unsigned short b) { STAY; return a > b; }
KEEP short narrow(int a) { STAY; return (short)a; }
KEEP uint8_t byte(unsigned a) { STAY; return (uint8_t)a; }
KEEP uint64_t wide(uint64_t a) { STAY; return a + 1; }
KEEP enum color enums(enum color color, enum mode mode) { STAY; return mode & WRITE ? color : BLUE; }
KEEP int *pointers(int *p, void *v, int **pp, int *null, int (*f)(int)) { STAY; return f && v && null ? null : pp ? *pp : p; }
KEEP int list_length(struct node *list)
{
	int length = 0;
	for (struct node *at = list; at && length < 3; at = at->next)
		length++;
	STAY;
	return length;
}
KEEP struct tree *leftmost(const struct tree *tree) { STAY; while (tree->left) tree = tree->left; return (struct tree *)tree; }
KEEP const char *strings(const char *empty, const char *text, char *buffer, const char *none)
{
	STAY;
	return none ? none : buffer[0] == empty[0] ? empty : text;
}
KEEP const char *longer(const char *text) { STAY; return text + 1; }
KEEP int far_text(const char *text) { STAY; return text != NULL; }
KEEP const char *on_page(const char *text) { STAY; return text + text[0] - 'o'; }
KEEP int array(const struct arrays *all, int first[2]) { STAY; return all->grid[1][2] + first[1]; }
KEEP struct point small_struct(struct point p) { STAY; return (struct point){p.y, p.x}; }
KEEP struct pair medium_struct(struct pair p) { STAY; return (struct pair){p.second, (int)p.first}; }
KEEP struct triple large_struct(struct triple t, int n) { STAY; return (struct triple){t.third, t.second, t.first + n}; }
KEEP struct mixed mixed_struct(struct mixed m, struct halves h) { STAY; return (struct mixed){m.real + h.real, m.whole + h.whole}; }
KEEP struct halves halves_struct(struct halves h) { STAY; return (struct halves){h.whole + 1, h.real + 1}; }
KEEP struct floats floats_struct(struct floats f, double d, float g) { STAY; return (struct floats){f.x + g, (float)d}; }
KEEP struct outer outer_struct(struct outer o, const struct outer *p) { STAY; o.at.x += p->at.x; return o; }
KEEP union word a_union(union word w) { STAY; w.i++; return w; }
KEEP struct bits bitfields(struct bits b, const struct bits *p) { STAY; b.c += p->c; return b; }
KEEP long many(int a, long b, short c, char d, unsigned e, long f, int g, long h, signed char i, struct point j, struct triple k, int l)
{
	STAY;
	return a + b + c + d + e + f + g + h + i + j.x + k.third + l;
}
KEEP double reals(double a, int b, float c, double d) { STAY; return a + b + c + d; }
KEEP int total(int count, ...)
{
	va_list values;
	va_start(values, count);
	int sum = 0;
	for (int i = 0; i < count; i++)
		sum += va_arg(values, int);
	va_end(values);
	STAY;
	return sum;
}
KEEP int apply(int (*f)(int), int x) { STAY; return f(x) + 1; }
KEEP int square(int x) { STAY; return x * x; }
KEEP unsigned long factorial(unsigned n)
{
	STAY;
	unsigned long result = n < 2 ? 1 : n * factorial(n - 1);
	SAY("factorial", "'n':%u", "%lu", n, result);
	return result;
}
static KEEP int local(int a, struct point *p) { STAY; return a + p->x; }
KEEP int tail_two(int x) { STAY; return x * 3; }
KEEP int tail_one(int x) { STAY; return tail_two(x + 1); }
KEEP void nothing(void) { STAY; }
KEEP struct hidden *opaque(struct hidden *h) { STAY; return h; }
KEEP __int128 sixteen(__int128 a, unsigned __int128 b) { STAY; return a - (__int128)b; }
KEEP long double extended(long double a, int b) { STAY; return a + b; }
KEEP void deep_jump(int depth)
{
	if (depth == 0)
		longjmp(back, 1);
	if (depth > 0)
		deep_jump(depth - 1);
	STAY;
}

#define POINT "{'x':%d,'y':%d}"
#define TRIPLE "{'first':%ld,'second':%ld,'third':%ld}"

static void say_numbers(void)
{
	SAY("ints", "'a':-128,'b':255,'c':-32768,'d':65535,'e':-2147483648,'f':4294967295,'g':-5,'h':18446744073709551615", "%ld",
	    (long)ints(-128, 255, -32768, 65535, INT32_MIN, UINT32_MAX, -5, UINT64_MAX));
	SAY("small", "'yes':true,'c':'x','s':-3,'u':200", "'%c'", small(true, 'x', -3, 200));
	SAY("small", "'yes':false,'c':'y','s':-100,'u':174", "'%c'", small(false, 'y', -100, 174));
	SAY("is_more", "'a':-1,'b':65535", "%s", is_more(-1, 65535) ? "true" : "false");
	SAY("is_more", "'a':7,'b':6", "%s", is_more(7, 6) ? "true" : "false");
	SAY("narrow", "'a':65535", "%d", narrow(65535));
	SAY("byte", "'a':511", "%d", byte(511));
	SAY("wide", "'a':9223372036854775807", "%lu", wide(INT64_MAX));
	SAY("enums", "'color':'GREEN','mode':'READ|WRITE'", "'%s'", enums(GREEN, READ | WRITE) == GREEN ? "GREEN" : "?");
	SAY("enums", "'color':3,'mode':'EXECUTE'", "'%s'", enums((enum color)3, EXECUTE) == BLUE ? "BLUE" : "?");
	SAY("nothing", "", "null");
	nothing();
	__int128 sum = sixteen(-5, 3);
	SAY("sixteen", "'a':-5,'b':3", "%ld", (long)sum);
	sum = sixteen((__int128)1 << 100, 0);
	SAY("sixteen", "'a':'1267650600228229401496703205376','b':0", "'%s'", sum >> 100 == 1 ? "1267650600228229401496703205376" : "?");
	SAY("extended", "'a':" MISSING("long double is not read") ",'b':1", MISSING("long double is not read"));
	extended(1.5L, 1);
	double real = reals(0.5, -2, 1.25f, 1e300);
	SAY("reals", "'a':0.5,'b':-2,'c':1.25,'d':1e300", "%.17g", real);
	SAY("total", "'count':3", "%d", total(3, 10, 20, 30));
	SAY("many", "'a':-1,'b':2,'c':-3,'d':'d','e':5,'f':-6,'g':7,'h':-8,'i':-9,'j':{'x':10,'y':11},'k':{'first':12,'second':13,'third':14},'l':-15",
	    "%ld", many(-1, 2, -3, 'd', 5, -6, 7, -8, -9, (struct point){10, 11}, (struct triple){12, 13, 14}, -15));
}

static void say_pointers(void)
{
	int number = 42, *to_number = &number;
	pointers(&number, &number, &to_number, NULL, square);
	SAY("pointers", "'p':42,'v':'%p','pp':42,'null':null,'f':'%p'", "42", (void *)&number, (void *)square);
	pointers(NULL, NULL, NULL, &number, NULL);
	SAY("pointers", "'p':null,'v':null,'pp':null,'null':42,'f':null", "null");
	struct node three = {3, NULL}, two = {2, &three}, one = {1, &two};
	SAY("list_length", "'list':{'value':1,'next':{'value':2,'next':'%p'}}", "%d", (void *)&three, list_length(&one));
	two.next = &one;
	SAY("list_length", "'list':{'value':1,'next':{'value':2,'next':" MISSING("back to %p") "}}", "%d", (void *)&one, list_length(&one));
	SAY("list_length", "'list':null", "%d", list_length(NULL));
	struct tree leaf = {-1, NULL, NULL}, right = {7, NULL, NULL}, root = {0, &leaf, &right};
	leftmost(&root);
	SAY("leftmost", "'tree':{'value':0,'left':{'value':-1,'left':null,'right':null},'right':{'value':7,'left':null,'right':null}}",
	    "{'value':-1,'left':null,'right':null}");
	opaque((struct hidden *)&root);
	SAY("opaque", "'h':'%p'", "'%p'", (void *)&root, (void *)&root);
}

static void say_texts(const char *own_path)
{
	static char text[2001];
	strings("", "h\xc3\xa9llo \"you\"\n", strcpy(text, "bad \xff byte"), NULL);
	SAY("strings", "'empty':'','text':'h\xc3\xa9llo \\'you\\'\\n','buffer':'bad \xef\xbf\xbd byte','none':null", "'h\xc3\xa9llo \\'you\\'\\n'");
	memset(text, 'a', 2000);
	const char *rest = longer(text);
	SAY("longer", "'text':{'text':'%.1024s','length':null}", "{'text':'%.1024s','length':null}", text, rest);
	text[1023] = 0;
	rest = longer(text);
	SAY("longer", "'text':'%s'", "'%s'", text, rest);
	far_text((const char *)0x10);
	SAY("far_text", "'text':'0x10'", "1");
	far_text((const char *)0x7f0000001000);
	SAY("far_text", "'text':" MISSING("page not present"), "1");
	// A page of a file that nobody has touched yet, and a text that goes over its end into one that is not there.
	int file = open(own_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (file < 0 || write(file, "over", 4) != 4 || ftruncate(file, 4096) != 0)
		abort();
	char *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, file, 0);
	on_page(page);
	SAY("on_page", "'text':'over'", "'over'");
	munmap(page, 8192);
	char *last = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(last + 4096, 4096);
	on_page(memcpy(last + 4092, "over", 4));
	SAY("on_page", "'text':{'text':'over','length':null}", "{'text':'over','length':null}");
	close(file);
	unlink(own_path);
}

static void say_structs(void)
{
	struct arrays all = {"name", {{1, 2, 3}, {4, 5, 6}}, {{7, 8}, {9, 10}}, {0, 128, 255}};
	int first[2] = {100, 200};
	SAY("array", "'all':{'name':'name','grid':[[1,2,3],[4,5,6]],'points':[{'x':7,'y':8},{'x':9,'y':10}],'bytes':[0,128,255]},'first':100",
	    "%d", array(&all, first));
	struct point p = small_struct((struct point){-1, 2});
	SAY("small_struct", "'p':{'x':-1,'y':2}", POINT, p.x, p.y);
	struct pair q = medium_struct((struct pair){1L << 31, -4});
	SAY("medium_struct", "'p':{'first':2147483648,'second':-4}", "{'first':%ld,'second':%d}", q.first, q.second);
	struct triple t = large_struct((struct triple){1, 2, 3}, 7);
	SAY("large_struct", "'t':{'first':1,'second':2,'third':3},'n':7", TRIPLE, t.first, t.second, t.third);
	struct mixed m = mixed_struct((struct mixed){1.5, 2}, (struct halves){3, 0.25f});
	SAY("mixed_struct", "'m':{'real':1.5,'whole':2},'h':{'whole':3,'real':0.25}", "{'real':%.17g,'whole':%d}", m.real, m.whole);
	struct halves h = halves_struct((struct halves){3, 0.25f});
	SAY("halves_struct", "'h':{'whole':3,'real':0.25}", "{'whole':%d,'real':%.17g}", h.whole, h.real);
	struct floats f = floats_struct((struct floats){1.5f, 2.5f}, 3.5, 4.75f);
	SAY("floats_struct", "'f':{'x':1.5,'y':2.5},'d':3.5,'g':4.75", "{'x':%.17g,'y':%.17g}", f.x, f.y);
	struct outer o = {{1, 2}, {.i = 0x3fc00000}, {'t', {3, 4}}};
#define OUTER "{'at':{'x':%d,'y':2},'i':1069547520,'f':1.5,'named':{'tag':'t','in':{'first':3,'second':4}}}"
	o = outer_struct(o, &o);
	SAY("outer_struct", "'o':" OUTER ",'p':" OUTER, OUTER, 1, 1, o.at.x);
	union word w = a_union((union word){.i = 0x3f800000});
	SAY("a_union", "'w':{'i':1065353216,'f':1.0,'bytes':[0,0,128,63]}", "{'i':%d,'f':%.17g,'bytes':[%d,%d,%d,%d]}", w.i, w.f, w.bytes[0], w.bytes[1], w.bytes[2], w.bytes[3]);
	struct bits b = {5, -16, (1UL << 39) + 3, true, BLUE}, c = {7, 15, 1, false, RED};
	b = bitfields(b, &c);
	SAY("bitfields", "'b':{'a':5,'b':-16,'c':549755813891,'d':true,'e':'BLUE'},'p':{'a':7,'b':15,'c':1,'d':false,'e':'RED'}",
	    "{'a':%d,'b':%d,'c':%lu,'d':%s,'e':'BLUE'}", b.a, b.b, (unsigned long)b.c, b.d ? "true" : "false");
}

static void say_ways(void)
{
	int applied = apply(square, 5);
	SAY("square", "'x':5", "%d", square(5));
	SAY("square", "'x':5", "%d", applied - 1);
	SAY("apply", "'f':'%p','x':5", "%d", (void *)square, applied);
	factorial(5);
	struct point p = {30, 40};
	SAY("local", "'a':12,'p':" POINT, "%d", p.x, p.y, local(12, &p));
	SAY("local", "'a':-12,'p':" POINT, "%d", p.x, p.y, local(-12, &p));
	int tail = tail_one(6);
	SAY("tail_two", "'x':7", "%d", tail);
	SAY("tail_one", "'x':6", "%d", tail);
	for (volatile int round = 0; round < 2; round++) {
		if (!setjmp(back))
			deep_jump(2);
		for (int depth = 2; depth >= 0; depth--)
			say("{'function':'deep_jump','args':{'depth':%d}}", depth);
	}
}

int main(int argc, char **argv)
{
	out = argc > 1 ? fopen(argv[1], "w") : stdout;
	if (!out)
		return 1;
	char page_path[4096];
	snprintf(page_path, sizeof page_path, "%s.page", argc > 1 ? argv[1] : "/tmp/fathom-calls");
	say_numbers();
	say_pointers();
	say_texts(page_path);
	say_structs();
	say_ways();
	return fclose(out) != 0;
}
