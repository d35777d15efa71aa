// NVRTC as CuPy and xgrad call it. What is compiled goes to a function of ours (kernels.py), whose answer is
// the machine code.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>

#define API extern "C" __attribute__((visibility("default")))

namespace {

struct Program {
    std::string source, code, log;
};

using Compiler = int (*)(Program* program, const char* source, const char* options);
Compiler compiler;

enum Status { success = 0, invalid_input = 3, invalid_option = 5, compilation = 6 };

// FAKE_NVRTC is a version that is said to be here, such as 12.9.
void version(int* major, int* minor) {
    const char* told = getenv("FAKE_NVRTC");
    if (!told || sscanf(told, "%d.%d", major, minor) != 2) *major = 13, *minor = 5;
}

// What older ones do not know.
bool knows(const char* option) {
    int major, minor;
    version(&major, &minor);
    return strncmp(option, "-Werror", 7) != 0 || major * 100 + minor >= 1301;
}

}  // namespace

API void fake_set_compiler(Compiler that) { compiler = that; }
API void fake_compiled(Program* program, const char* code, const char* log) {
    program->code = code;
    program->log = log;
}

API int nvrtcVersion(int* major, int* minor) {
    version(major, minor);
    return success;
}
API const char* nvrtcGetErrorString(int status) {
    return status == compilation      ? "NVRTC_ERROR_COMPILATION"
           : status == invalid_option ? "NVRTC_ERROR_INVALID_OPTION"
                                      : "NVRTC_ERROR_INVALID_INPUT";
}
API int nvrtcCreateProgram(
    Program** made, const char* source, const char*, int headers, const char* const*, const char* const*) {
    if (headers) return invalid_input;
    *made = new Program{source, "", ""};
    return success;
}
API int nvrtcDestroyProgram(Program** program) {
    delete *program;
    return success;
}
API int nvrtcCompileProgram(Program* program, int count, const char* const* options) {
    std::string all;
    for (int i = 0; i < count; ++i) {
        if (!knows(options[i])) {
            program->log = std::string("nvrtc: error: unrecognized option ") + options[i] + " found";
            return invalid_option;
        }
        all += std::string(options[i]) + "\n";
    }
    return compiler(program, program->source.c_str(), all.c_str()) ? success : compilation;
}
#define TEXT(name, member)                                         \
    API int nvrtcGet##name##Size(Program* program, size_t* size) { \
        *size = program->member.size() + 1;                        \
        return success;                                            \
    }                                                              \
    API int nvrtcGet##name(Program* program, char* text) {         \
        strcpy(text, program->member.c_str());                     \
        return success;                                            \
    }
TEXT(PTX, code)
TEXT(CUBIN, code)
TEXT(LTOIR, code)
TEXT(ProgramLog, log)
API int nvrtcAddNameExpression(Program*, const char*) { return invalid_input; }
API int nvrtcGetLoweredName(Program*, const char*, const char**) { return invalid_input; }
API int nvrtcGetNumSupportedArchs(int* count) {
    *count = 1;
    return success;
}
API int nvrtcGetSupportedArchs(int* archs) {
    *archs = 90;
    return success;
}
