{
  "variables": {
    "standard": ["-std=c++20", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra"]
  },
  "target_defaults": {
    "cflags_cc!": ["-std=gnu++17", "-O2"],
    "cflags_cc": ["<@(standard)"],
    "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(standard)"], "CLANG_CXX_LANGUAGE_STANDARD": "c++20" },
    "msvs_settings": { "VCCLCompilerTool": { "AdditionalOptions": ["/std:c++20"] } }
  },
  "targets": [
    {
      "target_name": "core_base",
      "type": "static_library",
      "sources": ["native/core_base.cc"]
    },
    {
      "target_name": "core_avx2",
      "type": "static_library",
      "sources": ["native/core_avx2.cc"],
      "conditions": [
        ["target_arch=='x64'", {
          "cflags_cc": ["-mavx2", "-mbmi", "-mbmi2"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["-mavx2", "-mbmi", "-mbmi2"] }
        }]
      ]
    },
    {
      "target_name": "core_avx512",
      "type": "static_library",
      "sources": ["native/core_avx512.cc"],
      "conditions": [
        ["target_arch=='x64'", {
          "cflags_cc": ["-mavx2", "-mbmi", "-mbmi2", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["-mavx2", "-mbmi", "-mbmi2", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"] }
        }]
      ]
    },
    {
      "target_name": "nestwalk",
      "sources": ["native/addon.cc"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "dependencies": ["core_base", "core_avx2", "core_avx512"],
      "defines": [
        "NAPI_VERSION=9",
        "NAPI_DISABLE_CPP_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
      ]
    }
  ]
}
