/*
 * What a Go program needs of Windows and wine 8 lacks, as the library that every Go
 * program loads first. For tests: it belongs into a wine prefix's system32 and nowhere
 * else.
 */
#include <windows.h>
#include <string.h>

BOOLEAN NTAPI SystemFunction036(PVOID to, ULONG n); /* RtlGenRandom */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE to, SIZE_T n)
{
	return SystemFunction036(to, (ULONG)n);
}

/*
 * Deleting and renaming in the manner of Windows 10: wine answers "not implemented",
 * which Go takes for a failure. An older Windows answers "no such class", and Go then
 * goes the old way.
 */
typedef LONG(NTAPI *set_information)(HANDLE, PVOID, PVOID, ULONG, ULONG);

static set_information original;

static LONG NTAPI set_information_file(HANDLE file, PVOID io, PVOID info, ULONG len, ULONG class)
{
	if (class == 64 || class == 65) /* FileDispositionInformationEx, FileRenameInformationEx */
		return (LONG)0xC0000003; /* STATUS_INVALID_INFO_CLASS */
	return original(file, io, info, len, class);
}

BOOL WINAPI DllMain(HINSTANCE self, DWORD reason, LPVOID reserved)
{
	enum { thunk = 32 };	 /* bytes of a system call of wine's: they run anywhere */
	static const unsigned char begins[] = {0x4c, 0x8b, 0xd1, 0xb8};
	unsigned char jump[12] = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0}; /* mov rax, ...; jmp rax */
	void *to = set_information_file;
	unsigned char *from, *copy;
	DWORD old;

	if (reason != DLL_PROCESS_ATTACH)
		return TRUE;
	from = (unsigned char *)GetProcAddress(GetModuleHandleA("ntdll.dll"), "NtSetInformationFile");
	if (!from || memcmp(from, begins, sizeof begins))
		return TRUE; /* another wine than we know */
	copy = VirtualAlloc(NULL, thunk, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
	if (!copy || !VirtualProtect(from, thunk, PAGE_EXECUTE_READWRITE, &old))
		return TRUE;
	memcpy(copy, from, thunk);
	original = (set_information)(void *)copy;
	memcpy(jump + 2, &to, sizeof to);
	memcpy(from, jump, sizeof jump);
	VirtualProtect(from, thunk, old, &old);
	return TRUE;
}
