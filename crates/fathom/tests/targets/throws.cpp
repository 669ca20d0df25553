// Exceptions that leave functions. What was called is told in the file that the first argument names.
#include <cstdio>
#include <stdexcept>

#define KEEP __attribute__((noinline))
// The optimiser shall not look through the call.
#define STAY __asm__ volatile("" ::: "memory")

KEEP int throws(int depth)
{
	STAY;
	if (depth == 0)
		throw std::runtime_error("deep");
	int result = throws(depth - 1);
	STAY;
	return result;
}

KEEP int catches(int depth)
{
	int result = -1;
	try {
		result = throws(depth);
	} catch (const std::exception &) {
	}
	STAY;
	return result;
}

int main(int argc, char **argv)
{
	std::FILE *out = argc > 1 ? std::fopen(argv[1], "w") : stdout;
	if (!out)
		return 1;
	for (int round = 0; round < 2; round++) {
		int result = catches(2);
		for (int depth = 2; depth >= 0; depth--)
			std::fprintf(out, "{\"function\":\"throws\",\"args\":{\"depth\":%d}}\n", depth);
		std::fprintf(out, "{\"function\":\"catches\",\"args\":{\"depth\":2},\"result\":%d}\n", result);
	}
	return std::fclose(out) != 0;
}
