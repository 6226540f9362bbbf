#pragma once
// The arithmetic of tensor cores, as measured on real ones (Fasi et al. 2021; Khattak & Mikaitis 2025). They compute a
// block of products exactly and add it to the sum in one step: they align all terms to the largest exponent, cut off
// what is below the last bit of their adder, and cut the total off to a float. Nothing is rounded to nearest.
namespace simt {

// d += a b for one mma.sync.m16n8k16 of bf16. Compute capability 8.0 adds blocks of 8 products, with one bit more than
// a float has; 9.0 and later add blocks of 16 with two bits more.
void tensor_core_multiply(float (&d)[16][8], const float (&a)[16][16], const float (&b)[16][8]);

}  // namespace simt
